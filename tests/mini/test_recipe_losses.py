"""The losses of the small nets against loops that say the same thing slowly."""

import math

import pytest
import torch
from torch.nn import functional as F

from charaforge.mini.recipes.bank import FAMILY_CHARACTERS
from charaforge.mini.recipes.families import FAMILY_SIZE, family_member, identity_label, same_words_label
from charaforge.mini.recipes.identity import contrastive_loss, lookalike_loss
from charaforge.mini.recipes.pose import pose_loss, simcc_targets
from charaforge.mini.recipes.steps import Plan


def test_contrastive_loss_is_the_published_sum() -> None:
    torch.manual_seed(0)
    embeddings, labels = torch.randn(6, 5), torch.tensor([0, 0, 1, 1, 1, 0])
    unit = F.normalize(embeddings, dim=1)
    total = 0.0
    for i in range(6):
        others = [a for a in range(6) if a != i]
        same = [p for p in others if labels[p] == labels[i]]
        share = math.log(sum(math.exp(float(unit[i] @ unit[a]) / 0.2) for a in others))
        total -= sum(float(unit[i] @ unit[p]) / 0.2 - share for p in same) / len(same)
    assert float(contrastive_loss(embeddings, labels, 0.2)) == pytest.approx(total / 6, rel=1e-5)


def test_lookalike_loss_sees_only_pairs_of_one_family_and_two_identities() -> None:
    embeddings = torch.tensor([[1.0, 0], [0.6, 0.8], [1.0, 0], [0, 1.0]])
    labels, families = torch.tensor([0, 1, 0, 2]), torch.tensor([7, 7, 7, -1])
    assert float(lookalike_loss(embeddings, labels, families)) == pytest.approx(0.36)


def test_simcc_targets_peak_at_the_coordinate_and_sum_to_one() -> None:
    targets = simcc_targets(torch.tensor([[10.0, 100.5]]))
    assert targets.argmax(-1).tolist() == [[20, 201]]
    assert targets.sum(-1).tolist() == [pytest.approx([1.0, 1.0])]


def test_joints_outside_the_frame_do_not_move_the_coordinates() -> None:
    torch.manual_seed(0)
    output = (torch.randn(1, 2, 256), torch.randn(1, 2, 256), torch.zeros(1, 2))
    seen = torch.tensor([[[30.0, 40.0, 1.0], [10.0, 20.0, 0.0]]])
    elsewhere = torch.tensor([[[30.0, 40.0, 1.0], [90.0, 99.0, 0.0]]])
    assert float(pose_loss(output, seen)) == float(pose_loss(output, elsewhere))


def test_family_labels_tell_exactly_the_same_characters_apart() -> None:
    members = [family_member(FAMILY_CHARACTERS, i) for i in range(2 * FAMILY_SIZE)]
    for i, one in enumerate(members):
        for j, other in enumerate(members):
            same = identity_label(i) == identity_label(j)
            assert same == (one == other), (i, j)


def test_families_share_their_words_and_relatives_do_not() -> None:
    members = [family_member(FAMILY_CHARACTERS, i) for i in range(FAMILY_SIZE)]
    words = [m.trait_tags() for m in members]
    for i, told in enumerate(words):
        assert (told == words[0]) == (same_words_label(i) == 0)


def test_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    plan = Plan(steps=1000, batch=1, rate=1.0)
    rates = [plan.rate_at(s) for s in range(1000)]
    assert rates[19] == max(rates) == 1.0
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
