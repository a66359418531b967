"""Data, base model and unlearning have seeds of their own, and share what they can."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import TINY
from harness.plan.cells import cells_of
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.spec.places import SpecError
from harness.spec.seeds import SeedAxes, SeedRange, count, repetitions
from harness.spec.structure import structure, structure_seeds, unstructure


def plan_of(seeds: Any) -> Plan:
    return compile_plan(structure({**yaml.safe_load(TINY), "seeds": seeds}))


def kinds(plan: Plan) -> Counter[str]:
    return Counter(stage.kind for stage in plan.stages.values())


def test_a_population_has_one_base_model_and_each_of_its_models_is_another() -> None:
    once, many = kinds(plan_of([0])), kinds(plan_of({"unlearn": {"first": 0, "count": 5}}))
    assert (many["corrupt"], many["train"], many["prepare"]) == (1, 1, once["prepare"])
    assert many["unlearn"] == 5 * once["unlearn"]
    assert many["evaluate"] == 5 * once["evaluate"]


def test_another_base_model_has_the_same_data() -> None:
    found = kinds(plan_of({"model": [0, 1]}))
    assert (found["corrupt"], found["train"]) == (1, 2)


def test_other_data_have_another_base_model() -> None:
    found = kinds(plan_of({"data": [0, 1]}))
    assert (found["corrupt"], found["train"]) == (2, 2)


def test_seeds_that_are_equal_give_the_stages_of_the_plain_list() -> None:
    apart = plan_of({"data": [1], "model": [1], "unlearn": [1]})
    assert set(apart.stages) == set(plan_of([1]).stages)


lists = st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True)
ranges = st.builds(
    lambda first, n: {"first": first, "count": n}, st.integers(0, 9), st.integers(1, 4)
)


@given(
    lists
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("data", "model", "unlearn"), lists | ranges)
    )
)
def test_repetitions_are_the_product_of_the_three_and_survive_the_way_through_plain_data(
    plain: Any,
) -> None:
    chosen = structure_seeds(plain)
    found = [(s.data, s.model, s.unlearn) for s in repetitions(chosen)]
    if isinstance(plain, list):
        assert found == [(seed, seed, seed) for seed in plain]
    else:
        parts = [plain.get(name, [0]) for name in ("data", "model", "unlearn")]
        slow = [
            list(range(p["first"], p["first"] + p["count"])) if isinstance(p, dict) else p
            for p in parts
        ]
        assert found == list(product(*slow))
    assert count(chosen) == len(found)
    assert len({s.label for s in repetitions(chosen)}) == len(found)
    spec = structure({**yaml.safe_load(TINY), "seeds": plain})
    assert structure(unstructure(spec)).seeds == spec.seeds == chosen


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{data: [0, 0]}", "4:15: seeds.data: a seed stands twice"),
        ("{model: []}", "4:16: seeds.model: an empty list; at least one seed is needed"),
        ("{unlearn: {count: 0}}", "found 0; more than 0 is allowed"),
        ("{unlearn: {first: 1}}", "the required key 'count' is missing"),
        ("{unlearnt: [0]}", "unknown key 'unlearnt'; did you mean 'unlearn'?"),
        ("{data: 3}", "found 3; a list or a mapping is needed"),
    ],
)
def test_wrong_seeds_are_named_with_their_place(written: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY.replace("seeds: [0]", f"seeds: {written}"))
    with pytest.raises(SpecError) as refused:
        load_spec(file)
    assert message in str(refused.value)


def test_a_huge_range_is_refused_without_going_through_it(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    huge = "{unlearn: {count: 100000}}"
    file.write_text(TINY.replace("seeds: [0]", f"seeds: {huge}"))
    with pytest.raises(SpecError, match=r"the sweeps span 800,000 points"):
        load_spec(file)


def test_cells_say_which_repetition_they_are() -> None:
    chosen = SeedAxes(data=(3,), model=(0, 1), unlearn=SeedRange(first=7, count=2))
    spec = structure({**yaml.safe_load(TINY), "forget": {"set": "corrupted"}})
    import attrs

    cells = list(cells_of(attrs.evolve(spec, seeds=chosen)))
    assert [cell.seed for cell in cells] == ["3/0/7", "3/0/8", "3/1/7", "3/1/8"]


def test_no_model_stands_twice_in_a_population_that_is_larger_than_the_spec_says() -> None:
    from harness.plan.protocol import _Cell, _Compiler, _repeated
    from harness.spec.requests import Outputs

    seeds = {"model": [4], "unlearn": [3, 9, 0]}
    spec = structure({**yaml.safe_load(TINY), "forget": {"set": "corrupted"}, "seeds": seeds})
    compiler = _Compiler(spec)
    cells = [_Cell(compiler, cell) for cell in cells_of(spec)]

    def found(**asked: Any) -> list[tuple[int, int]]:
        made = [cell.cell.seeds for cell in _repeated(cells, Outputs(**asked))]
        return [(s.model, s.unlearn) for s in made]

    assert found(of="unlearned") == [(4, 3), (4, 9), (4, 0)]
    assert found(of="unlearned", count=5) == [(4, 3), (4, 9), (4, 0), (4, 10), (4, 11)]
    assert found(of="retrained", count=2, offset=100) == [(4, 103), (4, 109)]
    assert found(of="original", count=3) == [(4, 3), (5, 3), (6, 3)]
