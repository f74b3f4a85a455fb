"""The VAE is as good as promised; the long measurement of the base model's obedience."""

import pytest

from charaforge.mini.measure import base, vae
from charaforge.mini.measure.bars import missed
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(Warehouse(tmp_path))


def test_vae_shows_signatures_it_never_needed_for_the_base(registry):
    figures = vae.measure(registry.get("mini-sd", "base").path / "vae", pictures=6)
    assert figures["psnr_db"] >= 25
    assert figures["signature_psnr_db"] >= 18


@pytest.mark.slow
def test_vae_bars(registry):
    assert not missed(vae.measure(registry.get("mini-sd", "base").path / "vae"), vae.BARS)


@pytest.mark.slow
def test_base_bars(registry):
    model, tagger = registry.get("mini-sd", "base").path, registry.get("mini-tagger", "tagger").path
    assert not missed(base.measure(model, tagger), base.BARS)
