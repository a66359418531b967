"""Which stage a worker gets next."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TINY
from harness.execute.pending import Pending
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.spec.reader import read_text
from harness.spec.structure import structure

TWO = TINY.replace("seeds: [0]", "seeds: [0, 1]")


def pending_of(*there: str) -> tuple[Plan, Pending]:
    """The tiny spec with two seeds, of which stages of some kinds are in the store."""
    plan = compile_plan(structure(read_text(TWO, "t").data))
    targets = [key for key, stage in plan.stages.items() if stage.kind == "evaluate"]
    return plan, Pending(plan, targets, lambda stage, tensors: stage.kind in there)


def reads(plan: Plan, key: str) -> set[str]:
    return {source for _, source in plan.stages[key].inputs}


def test_one_worker_computes_in_the_order_of_the_plan() -> None:
    plan, pending = pending_of()
    taken = []
    while (key := pending.take()) is not None:
        taken.append(key)
        pending.finish(key)
    assert taken == list(plan.stages)


def test_a_worker_goes_on_with_the_base_model_that_it_has() -> None:
    plan, pending = pending_of("corrupt", "train", "prepare")
    *_, last = (key for key, stage in plan.stages.items() if stage.kind == "train")
    first = pending.take()
    assert first is not None and last not in reads(plan, first)
    own = pending.take({last})
    assert own is not None and last in reads(plan, own)
    pending.finish(own)
    after = pending.take({own, *reads(plan, own)})
    assert after is not None and own in reads(plan, after)  # it has all that this reads


def test_a_last_training_does_not_wait_until_the_other_workers_have_nothing_to_do() -> None:
    def kinds(workers: int) -> list[str]:
        plan, pending = pending_of()
        held: set[str] = set()
        found = []
        while (key := pending.take(held, workers)) is not None:
            found.append(plan.stages[key].kind)
            held = {key, *reads(plan, key)}
            pending.finish(key)
        return found

    assert sorted(kinds(workers=2)[:4]) == ["corrupt", "corrupt", "train", "train"]
    assert kinds(workers=1)[:4].count("train") == 1  # alone, a worker finishes what it began


@settings(max_examples=20)
@given(st.data())
def test_whatever_workers_hold_each_stage_is_handed_out_once_and_after_what_it_reads(
    data: st.DataObject,
) -> None:
    plan, pending = pending_of()
    running: list[str] = []
    finished: set[str] = set()
    while len(finished) < len(plan.stages):
        held = data.draw(st.sets(st.sampled_from(sorted(plan.stages)), max_size=3))
        if (key := pending.take(held, data.draw(st.integers(1, 4)))) is not None:
            assert key not in finished and key not in running
            assert reads(plan, key) <= finished
            running.append(key)
        if running and (key is None or data.draw(st.booleans())):
            finished.add(over := running.pop(0))
            pending.finish(over)
    assert pending.take() is None
    assert not len(pending)
