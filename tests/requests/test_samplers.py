from __future__ import annotations

import pytest

from charaforge.errors import UnknownNameError
from charaforge.requests.samplers import DEFAULT_SAMPLER, SAMPLERS, find_sampler


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("euler_a", "euler_a"),
        ("Euler a", "euler_a"),
        ("EulerAncestralDiscreteScheduler", "euler_a"),
        ("k_euler_a", "euler_a"),
        ("DPM++ 2M", "dpmpp_2m"),
        ("DPM++ 2M SDE", "dpmpp_2m_sde"),
        ("DPMSolverMultistepScheduler", "dpmpp_2m"),
        ("ddim", "ddim"),
        ("UniPC", "unipc"),
    ],
)
def test_one_sampler_under_all_its_names(name: str, expected: str) -> None:
    assert find_sampler(name).name == expected


def test_an_unknown_sampler_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'euler'"):
        find_sampler("eulr")


def test_no_two_samplers_share_a_name() -> None:
    names = [name for sampler in SAMPLERS for name in (sampler.name, sampler.label)]
    assert len(names) == len(set(names))
    assert find_sampler(DEFAULT_SAMPLER).name == DEFAULT_SAMPLER
