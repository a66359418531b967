"""The weights along a training: kept where they are asked for, and the same after a restart."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from training.test_resume import DIGITS, STEPS, Slot, Stop, recipe

from harness.components import get
from harness.data.pool import Pool
from harness.errors import HarnessError, Interrupted
from harness.spec.structure import structure_use
from harness.training.loop import fit
from harness.training.run import Fitted
from harness.training.seeding import generator, seeded_build

WANTED = (0, 5, 8, STEPS)


def trained(stop: int | None, slot: Slot | None, wanted: tuple[int, ...] = WANTED) -> Fitted:
    """One training of a small model, stopped after ``stop`` steps."""
    use = structure_use("models", {"name": "mlp", "hidden": [8]})
    function = get("models", use.name).function
    model = seeded_build(lambda: function(use.settings, DIGITS.encoding, 10), "here")
    pool = Pool(DIGITS.train, torch.arange(30), encoding=DIGITS.encoding)
    return fit(
        model,
        pool,
        recipe(),
        generator=lambda purpose: generator("here", purpose),
        watch=Stop(stop),
        slot=slot,
        snapshots=wanted,
    )


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_a_restart_keeps_what_was_kept_before_it_and_adds_the_rest(stop: int) -> None:
    whole, slot = trained(None, None), Slot()
    with pytest.raises(Interrupted):
        trained(stop, slot)
    again = trained(None, slot)
    assert sorted(again.snapshots) == sorted(whole.snapshots) == list(WANTED)
    for step in WANTED:
        for name, value in whole.snapshots[step].items():
            assert torch.equal(again.snapshots[step][name], value), (step, name)


def test_every_snapshot_is_another_and_none_moves_the_training() -> None:
    found, plain = trained(None, None), trained(None, None, ())
    assert plain.snapshots == {} and found.losses == plain.losses
    for before, after in pairwise(WANTED):
        pairs = zip(found.snapshots[before].values(), found.snapshots[after].values(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_snapshot_after_the_end_is_refused() -> None:
    with pytest.raises(HarnessError, match=f"a snapshot after step 13 of a training of {STEPS}"):
        trained(None, None, (STEPS + 1,))
