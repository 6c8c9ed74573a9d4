"""The network of the cues branch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from quavf.cues.features import N_ANSWERS, N_FACE, N_RULE, N_SOUND, OFFLINE
from quavf.models.config import CuesConfig
from quavf.models.cues import CuesBranch

N_TICKS = 50


@pytest.fixture(scope="module")
def branch() -> CuesBranch:
    torch.manual_seed(0)
    return CuesBranch(CuesConfig(dim=8, n_layers=3)).eval()


def make_batch(n_people: int = 3, n_clips: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(seed)
    face = torch.randn(n_clips, n_people, N_TICKS, N_FACE, generator=rng)
    sound = torch.randn(n_clips, N_TICKS, N_SOUND, generator=rng)
    rule = torch.randn(n_clips, n_people, N_TICKS, N_RULE, generator=rng)
    seen = torch.rand(n_clips, n_people, N_TICKS, generator=rng) > 0.2
    return face, sound, rule, seen


def judge(branch: CuesBranch, batch: tuple[Tensor, ...], look_ahead: int = OFFLINE) -> Tensor:
    with torch.inference_mode():
        people: Tensor = branch(*batch, torch.full((len(batch[0]),), look_ahead)).people
    return people


def test_shapes(branch: CuesBranch) -> None:
    batch = make_batch(n_people=4, n_clips=2)
    with torch.inference_mode():
        logits = branch(*batch, torch.tensor([OFFLINE, 5]))
    assert logits.people.shape == (2, 4, N_TICKS, N_ANSWERS)
    assert logits.wearer.shape == (2, N_TICKS)


def test_order_of_people_does_not_matter(branch: CuesBranch) -> None:
    face, sound, rule, seen = make_batch()
    order = [2, 0, 1]
    a = judge(branch, (face, sound, rule, seen))
    b = judge(branch, (face[:, order], sound, rule[:, order], seen[:, order]))
    torch.testing.assert_close(a[:, order], b)


@pytest.mark.parametrize("look_ahead", [OFFLINE, 4])
def test_people_who_are_not_there_change_nothing(branch: CuesBranch, look_ahead: int) -> None:
    face, sound, rule, seen = make_batch()
    padded = tuple(torch.cat([x, torch.zeros_like(x[:, :2])], dim=1) for x in (face, rule, seen))
    a = judge(branch, (face, sound, rule, seen), look_ahead)
    b = judge(branch, (padded[0], sound, padded[1], padded[2]), look_ahead)
    torch.testing.assert_close(a, b[:, :3])


def test_others_do_matter(branch: CuesBranch) -> None:
    face, sound, rule, seen = make_batch()
    a = judge(branch, (face, sound, rule, seen))
    face[:, 1] += 1.0
    b = judge(branch, (face, sound, rule, seen))
    assert (a[:, 0] - b[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("look_ahead", [0, 4])
def test_causal_form_sees_no_further_than_its_look_ahead(
    branch: CuesBranch, look_ahead: int
) -> None:
    batch = make_batch()
    changed = tuple(x.clone() for x in make_batch())
    changed[0][:, :, 30:] += 1.0
    a, b = judge(branch, batch, look_ahead), judge(branch, changed, look_ahead)
    end = 30 - look_ahead
    torch.testing.assert_close(a[:, :, :end], b[:, :, :end])
    assert (a[:, :, end] - b[:, :, end]).abs().max() > 1e-5
    offline = judge(branch, batch) - judge(branch, changed)
    assert offline[:, :, :end].abs().max() > 1e-5


def test_past_beyond_the_reach_is_forgotten(branch: CuesBranch) -> None:
    batch = make_batch()
    changed = tuple(x.clone() for x in make_batch())
    changed[0][:, :, :5] += 1.0
    a, b = judge(branch, batch, 0), judge(branch, changed, 0)
    torch.testing.assert_close(a[:, :, 5 + branch.reach :], b[:, :, 5 + branch.reach :])
    assert (a[:, :, 5] - b[:, :, 5]).abs().max() > 1e-6


def test_rule_is_added_to_the_logits(branch: CuesBranch) -> None:
    face, sound, rule, seen = make_batch()
    a = judge(branch, (face, sound, rule, seen))
    b = judge(branch, (face, sound, rule + 1.0, seen))
    change = torch.ones_like(a)
    change[..., N_RULE:] = 0  # the rule says nothing of turns
    torch.testing.assert_close(b - a, change)


def test_offline_and_causal_samples_mix_in_a_batch(branch: CuesBranch) -> None:
    batch = make_batch(n_clips=2)
    with torch.inference_mode():
        mixed = branch(*batch, torch.tensor([OFFLINE, 3])).people
    first, second = (tuple(x[k : k + 1] for x in batch) for k in range(2))
    torch.testing.assert_close(mixed[0], judge(branch, first)[0])
    torch.testing.assert_close(mixed[1], judge(branch, second, 3)[0])


def test_features_fit_the_network() -> None:
    assert (N_FACE, N_SOUND, N_RULE) == (26, 6, 3)
    assert np.prod(CuesBranch(CuesConfig(dim=8)).rule_scale.shape) == N_RULE


def test_frozen_branch_learns_to_judge_turns_alone() -> None:
    branch = CuesBranch(CuesConfig(dim=8, n_layers=3, frozen=True))
    learned = {name.partition(".")[0] for name, p in branch.named_parameters() if p.requires_grad}
    assert learned == {"turn_head"}
