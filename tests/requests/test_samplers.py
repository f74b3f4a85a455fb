from __future__ import annotations

import pytest

from charaforge.errors import UnknownNameError
from charaforge.requests.samplers import DEFAULT_SAMPLER, SAMPLERS, SOLVERS, find_a1111_sampler, find_sampler


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


@pytest.mark.parametrize(
    ("name", "schedule", "expected"),
    [
        ("DPM++ 2M", "Automatic", "dpmpp_2m_karras"),
        ("DPM++ 2M", "", "dpmpp_2m_karras"),
        ("DPM++ SDE", "automatic", "dpmpp_sde_karras"),
        ("DPM++ 2M SDE", "Automatic", "dpmpp_2m_sde_exponential"),
        ("DPM++ 3M SDE", "Automatic", "dpmpp_3m_sde_exponential"),
        ("DPM2", "Automatic", "dpm2_karras"),
        ("Euler a", "Automatic", "euler_a_uniform"),
        ("DDIM", "Automatic", "ddim"),
        ("LCM", "", "lcm"),
        ("DPM++ 2M Exponential", "Automatic", "dpmpp_2m_exponential"),
        ("DPM++ 2M", "Simple", "dpmpp_2m_sgm_uniform"),
        ("DPM++ 2M", "DDIM", "dpmpp_2m"),
        ("Euler", "Normal", "euler_uniform"),
    ],
)
def test_what_a1111_samples_on(name: str, schedule: str, expected: str) -> None:
    assert find_a1111_sampler(name, schedule).name == expected


def test_every_label_means_in_a1111_what_is_sampled_here() -> None:
    for sampler in SAMPLERS:
        assert find_a1111_sampler(sampler.solver.label, sampler.schedule_label) == sampler
    for solver in SOLVERS:
        assert solver.automatic in solver.schedules


def test_our_own_names_keep_the_steps_of_the_model() -> None:
    assert find_sampler("dpmpp_2m").name == "dpmpp_2m"
    assert find_sampler("DPM++ 2M", "Automatic").name == "dpmpp_2m"
