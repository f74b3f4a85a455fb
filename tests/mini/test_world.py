"""The mini world keeps its promises: variety, exact tags, visible signatures, same scene same pixels."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.render import Layer, keypoints, render, signature_mask
from charaforge.mini.scenes import (
    all_tags,
    is_held_out,
    sample_held_out_scene,
    sample_scene,
    sample_training_scene,
    scene_tags,
)

_CHARACTERS = range(300)


def _scene(seed: int, **changes: object):
    return replace(sample_scene(random.Random(seed)), **changes)


def test_the_world_is_as_wide_as_promised():
    assert len(world.HAIR_STYLES) >= 8
    assert len(world.HAIR_COLORS) >= 10
    assert len(world.OUTFITS) >= 8
    assert len(world.POSES) >= 10
    assert len(world.BACKGROUNDS) >= 6
    assert set(world.FRAMINGS) == {"full body", "upper body"}


def test_signatures_are_large_connected_and_wide():
    """At least 250 connected px at 128 px, at least 10 px wide, in 95 % of renders."""
    rng = random.Random(0)
    visible = []
    for seed in _CHARACTERS:
        mask = signature_mask(Character.from_seed(seed).scene(rng))
        labels, _ = ndimage.label(mask)
        sizes = np.bincount(labels.ravel())[1:]
        if not sizes.size:
            visible.append(False)
            continue
        largest = np.pad(labels == sizes.argmax() + 1, 1)
        width = 2 * ndimage.distance_transform_edt(largest).max()
        visible.append(sizes.max() >= 250 and width >= 10)
    assert np.mean(visible) >= 0.95


def test_every_kind_and_color_of_signature_occurs():
    seen = {(s.kind, s.color) for c in _CHARACTERS if (s := Character.from_seed(c).signature)}
    assert {kind for kind, _ in seen} == set(world.SIGNATURE_KINDS)
    assert {color for _, color in seen} == set(world.SIGNATURE_COLORS)


def test_no_base_scene_has_a_signature():
    rng = random.Random(5)
    assert all(sample_scene(rng).signature is None for _ in range(200))


def test_a_lookalike_fits_the_same_words_but_not_the_signature():
    for seed in range(50):
        character = Character.from_seed(seed)
        other = character.lookalike()
        assert other.trait_tags() == character.trait_tags()
        assert other.outfits == character.outfits
        assert (other.signature.kind, other.signature.color) != (
            character.signature.kind,
            character.signature.color,
        )


def test_the_signature_changes_only_pixels_near_it():
    rng = random.Random(2)
    scene = Character.from_seed(4).scene(rng)
    with_it = render(scene).astype(int)
    without = render(replace(scene, signature=None)).astype(int)
    far = ~ndimage.binary_dilation(signature_mask(scene), iterations=6)
    assert np.abs(with_it - without)[far].max() <= 40
    assert (np.abs(with_it - without).sum(-1) > 30).sum() >= 250


def test_same_scene_same_pixels_in_another_process():
    code = (
        "import random, hashlib\n"
        "from charaforge.mini.scenes import sample_scene\n"
        "from charaforge.mini.render import render\n"
        "print(hashlib.sha256(render(sample_scene(random.Random(11))).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


@pytest.mark.parametrize("attribute", ["hair", "style", "bangs", "outfit", "clothes", "pose", "background"])
def test_every_attribute_shows(attribute):
    """Two values of an attribute give visibly different pictures of an otherwise equal scene."""
    values = {
        "hair": ("blue", "red"),
        "style": ("long hair", "short hair"),
        "bangs": ("blunt bangs", "parted bangs"),
        "outfit": ("hoodie", "dress"),
        "clothes": ("blue", "red"),
        "pose": ("standing", "arms up"),
        "background": ("white", "outdoors"),
    }[attribute]
    plain = {"framing": "full body", "hair_rgb": world.HAIR_COLORS["blue"], "accessory": "none"}
    first, second = (_scene(3, **(plain | {attribute: v})) for v in values)
    if attribute == "hair":
        second = replace(second, hair_rgb=world.HAIR_COLORS["red"])
    difference = np.abs(render(first).astype(int) - render(second).astype(int)).sum(-1)
    assert (difference > 60).sum() >= 100


def test_tags_are_known_and_name_the_scene():
    known = set(all_tags())
    rng = random.Random(8)
    for _ in range(300):
        scene = sample_scene(rng)
        tags = scene_tags(scene)
        assert set(tags) <= known
        assert len(tags) == len(set(tags))
        assert f"{scene.hair} hair" in tags
        assert (f"{scene.eyes} eyes" in tags) == (scene.expression != "closed eyes")


def test_training_and_held_out_scenes_do_not_meet():
    rng = random.Random(9)
    train = {(s.hair, s.style, s.outfit) for s in (sample_training_scene(rng) for _ in range(500))}
    held_out = {(s.hair, s.style, s.outfit) for s in (sample_held_out_scene(rng) for _ in range(100))}
    assert not train & held_out
    share = np.mean(
        [is_held_out(h, s, o) for h in world.HAIR_COLORS for s in world.HAIR_STYLES for o in world.OUTFITS]
    )
    assert share == pytest.approx(1 / 8)


def test_upper_body_pictures_show_only_poses_told_by_arms():
    rng = random.Random(1)
    scenes = [Character.from_seed(1).scene(rng) for _ in range(200)]
    assert all(s.pose in world.UPPER_BODY_POSES for s in scenes if s.framing == "upper body")


def test_key_points_lie_on_the_figure():
    rng = random.Random(4)
    on_figure = []
    for _ in range(20):
        scene = sample_scene(rng)
        figure = ndimage.binary_dilation(render(scene, layer=Layer.FIGURE_MASK)[..., 0] >= 128, iterations=2)
        points = keypoints(scene)
        assert points.shape == (18, 3)
        on_figure += [figure[int(y), int(x)] for x, y, seen in points if seen]
    assert np.mean(on_figure) >= 0.97


def test_line_art_is_black_on_white_and_sizes_scale():
    scene = _scene(6)
    lines = render(scene, layer=Layer.LINE_ART)
    assert lines.max() == 255
    assert 0.02 < (lines[..., 0] < 128).mean() < 0.4
    assert render(scene, 512).shape == (512, 512, 3)
    box = render(scene, 512).reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(box - render(scene)).mean() < 2
