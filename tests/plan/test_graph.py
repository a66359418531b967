"""The graph is content-addressed and knows no kind; kinds say what they hash."""

from __future__ import annotations

import attrs
import pytest
import yaml

from conftest import TINY
from harness.components import catalogue, get
from harness.plan import graph as building
from harness.plan.cells import cells_of
from harness.plan.graph import Graph
from harness.plan.kinds import Kind, Samples, kinds, source_kind
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import identity
from harness.spec.structure import structure, structure_use
from harness.store import Store

SPEC = structure(yaml.safe_load(TINY))


def test_a_new_kind_is_a_declaration_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    toy = Kind(
        name="toy",
        rank=9,
        revision=3,
        roles={"corrupt": "corrupt"},
        hashes=lambda cell, uses, detail: (detail["word"], cell.model),
        leaves="tensors",
        record={},
        samples=lambda stage: Samples(5, 1),
        published="nothing",
        run=lambda stage, world, watch, slot: ({}, {}),
    )
    known = {**kinds(), "toy": toy}
    monkeypatch.setattr(building, "kinds", lambda: known)
    cell = next(iter(cells_of(SPEC)))
    made = Graph()
    first = made.add("toy", cell, {}, word="a")
    assert made.add("toy", cell, {}, word="a") == first
    assert made.add("toy", cell, {}, word="b") != first
    assert made.add("toy", cell, {"corrupt": first}, word="a") != first
    assert len(made.stages) == 3
    Store(tmp_path / "store").write("toy", first, {"fine": True}, None)
    assert Store(tmp_path / "store").record("toy", first) == {"fine": True}


def test_every_input_of_a_plan_is_of_the_kind_that_its_role_says() -> None:
    plan = compile_plan(SPEC)
    for stage in plan.stages.values():
        for role, key in stage.inputs:
            assert plan.stages[key].kind == source_kind(stage, role)


def test_kinds_are_those_of_the_design_and_measurements_are_not_published() -> None:
    assert set(kinds()) == {
        "corrupt", "features", "train", "prepare", "unlearn", "outputs", "evaluate", "score",
    }  # fmt: skip
    published = {name: kind.published for name, kind in kinds().items()}
    assert published["evaluate"] == published["score"] == "nothing"
    assert published["prepare"] == "record"


def _draws(plan: Plan) -> list[str]:
    return [stage.draws for stage in plan.stages.values()]


def test_a_revision_moves_keys_and_no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compile_plan(SPEC)
    ssd = get("methods", "ssd")
    changed = {**catalogue.load("methods"), "ssd": attrs.evolve(ssd, revision=ssd.revision + 1)}
    load = catalogue.load
    monkeypatch.setattr(
        catalogue, "load", lambda kind: changed if kind == "methods" else load(kind)
    )
    try:
        identity.cache_clear()
        after = compile_plan(SPEC)
    finally:
        identity.cache_clear()
    moved = {s.kind for k, s in after.stages.items() if k not in before.stages}
    assert moved == {"unlearn", "evaluate"}
    assert _draws(after) == _draws(before)


def test_a_setting_that_was_added_later_moves_keys_only_once_it_is_used() -> None:
    first = identity(structure_use("methods", {"name": "ptn", "rho": 0.5}))
    same = identity(structure_use("methods", {"name": "ptn", "rho": 0.5, "compare": "counts"}))
    other = identity(structure_use("methods", {"name": "ptn", "rho": 0.5, "compare": "float32"}))
    assert "compare" not in first
    assert first == same != other


def test_draws_differ_wherever_settings_seeds_or_inputs_do() -> None:
    plan = compile_plan(attrs.evolve(SPEC, seeds=(0, 1)))
    found = _draws(plan)
    assert len(set(found)) == len(found)
    assert set(found).isdisjoint(plan.stages)  # an address says nothing about them
