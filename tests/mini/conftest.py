"""A mini world so small that a recipe runs in seconds."""

from pathlib import Path

import pytest

from charaforge.mini.recipes import bank, base, controlnet, ip_adapter, latents, maps, sdxl, vae, vision

PICTURES = 24


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Banks of 24 pictures and recipes that use only those."""
    for module in (bank, latents, maps):
        monkeypatch.setattr(module, "CHUNK", PICTURES)
    monkeypatch.setattr(vae, "PCA_PICTURES", {"base": PICTURES, "signed": PICTURES})
    monkeypatch.setattr(vae, "PICTURES", {"base": PICTURES, "signed": PICTURES})
    for module in (base, controlnet, ip_adapter, sdxl, vision):
        monkeypatch.setattr(module, "PICTURES", PICTURES)
    return tmp_path
