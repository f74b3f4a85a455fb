"""Every solver on offer with the real, trained mini-sd, a zero-terminal-SNR model.

That each sampler lands on the data at 10, 25 and 30 steps, on ordinary schedules too, is shown with a perfect
denoiser in `tests/diffusion/test_samplers.py`; how well pictures obey words is measured by
`benchmarks/samplers.py` over all of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from charaforge.generation.generator import Generator
from charaforge.perception.wd14 import WD14Tagger
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.samplers import SOLVERS
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(Warehouse(tmp_path_factory.mktemp("empty")), device="cpu")


@pytest.mark.parametrize("name", [solver.name for solver in SOLVERS])
def test_a_solver_draws_what_it_is_told(mini: Generator, tmp_path: Path, name: str) -> None:
    told = {"prompt": "1girl, blue hair, long hair", "model": "mini-sd", "steps": 10, "seed": 4}
    asked = {**told, "width": 128, "height": 128, "guidance": 4.0, "scheduler": name}
    image = mini.generate(GenerationRequest.model_validate(asked))[0].image
    tagger = WD14Tagger(Registry(Warehouse(tmp_path)).get("mini-tagger", "tagger").path)
    scores = tagger.tag([image])
    hair = {tag: p for tag, p in zip(scores.names, scores.probabilities[0], strict=True) if "hair" in tag}
    assert hair["blue hair"] > 0.5, hair


@pytest.mark.slow
@pytest.mark.launch
def test_every_sampler_obeys_words_as_ddim_does() -> None:
    command = [sys.executable, "benchmarks/samplers.py", "--prompts", "64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
