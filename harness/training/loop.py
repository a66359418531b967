"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.data.pool import Pool
from harness.errors import HarnessError, Interrupted
from harness.lazy import nn, torch
from harness.spec.blocks import Train
from harness.training.adversary import Adversary
from harness.training.length import length_of
from harness.training.losses import Loss, cross_entropy
from harness.training.run import Fitted, Run
from harness.training.seeding import seeded_layers
from harness.training.watch import Slot, Unwatched, Watch


def fit(
    model: nn.Module,
    pool: Pool,
    train: Train,
    *,
    generator: Callable[[str], torch.Generator],
    loss: Loss | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    watch: Watch | None = None,
    slot: Slot | None = None,
    snapshots: Sequence[int] = (),
    passes: frozenset[int] | None = None,
    before_step: Callable[[nn.Module, int], None] | None = None,
) -> Fitted:
    """Train ``model`` in place on ``pool`` by the recipe ``train``; it ends in eval mode.

    Args:
        generator: gives the CPU generator of a purpose; batches use ``"batches"``, layers that
            draw (dropout) are seeded from ``"layers"``.
        loss: (logits, batch) to a scalar; the recipe's cross-entropy when left out.
        evaluate: the score that ``checkpoint: best_...`` maximises.
        slot: where the state is kept, so that an interrupted training goes on exactly.
        snapshots: steps after which the weights are kept, beside the last; 0 is before the first.
        passes: steps that end a pass over the pool, where passes differ in length.
        before_step: may change the gradients of the model; it gets the number of steps taken.

    Raises:
        HarnessError: the pool is empty, or ``checkpoint: best_...`` has nothing to evaluate with.
        Diverged: the loss is not finite.
        Interrupted: from ``watch``, after the state was saved. OverBudget: from ``watch``.
    """
    if not len(pool):
        raise HarnessError("there is no sample to train on")
    watch = watch or Unwatched()
    # What a model learns of its inputs alone it has to learn before its first training.
    see = getattr(model, "see_inputs", None)
    if see is not None and slot is not None and slot.load() is not None:
        see = None
    if see is not None:
        see(pool, generator("inputs"), watch)
    several: Any = model if loss is None and hasattr(model, "joint_loss") else None
    if several is not None:
        pool = pool.with_maps(several.tasks)
    length = length_of(train, len(pool), passes)
    run = Run(model, pool, train, length, generator("batches"), loss or cross_entropy(train, pool))
    if late := [step for step in snapshots if step > run.total]:
        raise HarnessError(f"a snapshot after step {late[0]} of a training of {run.total}")
    run.joint = several.joint_loss if several is not None else None
    run.wanted, run.before_step = frozenset(snapshots), before_step
    if (use := train.adversary) is not None:
        run.adversary = Adversary(use, pool.encoding, generator("adversary"), train.precision)
    if train.checkpoint != "last":
        if evaluate is None:
            raise HarnessError(f"checkpoint {train.checkpoint!r} needs something to evaluate with")
        run.evaluate = evaluate
    if see is not None and slot is not None:
        slot.save(*run.state(watch))
    if watch.meeting is None or loss is not None or not watch.meeting.train(run, watch, slot):
        with seeded_layers(generator("layers").initial_seed(), pool.device):
            _carry_out(run, watch, slot)
    return run.finish()


def _carry_out(run: Run, watch: Watch, slot: Slot | None) -> None:
    """Take the steps that are left, saving on the way."""
    if slot is not None and (saved := slot.load()) is not None:
        run.restore(*saved, watch)
    try:
        for step in run.steps():
            watch.meter.step(step.samples, run.adversary.work if run.adversary else (0, 0))
            if slot is not None and slot.due():
                slot.save(*run.state(watch))
            watch.step(run.step, run.total, step.loss)
    except Interrupted:
        if slot is not None:
            slot.save(*run.state(watch))
        raise
