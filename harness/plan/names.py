"""What people call a stage: its method, cell, seed and candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.plan.stage import Cell, Stage
from harness.spec.seeds import Seeds

if TYPE_CHECKING:
    from harness.plan.plan import Choice

APART = ("data", "model", "unlearn")
Facts = dict[str, Any]  # of a cell: the values of its axes, and its seeds


@frozen(eq=False)
class _Place:
    """Where a stage stands in the tables of a plan."""

    method: str
    cell: Cell
    values: Mapping[str, Any]


class Names:
    """Makes names when they are asked for: most stages of a large plan are never named."""

    def __init__(self, stages: Mapping[str, Stage], choices: Iterable[Choice]) -> None:
        self.stages = stages
        self.places: dict[str, list[_Place]] = {}
        for choice in choices:
            for group in choice.groups:
                for i, candidate in enumerate(group.candidates):
                    place = _Place(group.method.label, group.cell, candidate.values)
                    for key in (candidate.unlearn, candidate.evaluate, *choice.scores[i : i + 1]):
                        self.places.setdefault(key, []).append(place)
        cells = dict.fromkeys(place.cell for found in self.places.values() for place in found)
        self.facts = {cell: _facts(cell) for cell in cells}
        self.readers: dict[str, list[str]] = {}
        for key, stage in stages.items():
            for _, source in stage.inputs:
                self.readers.setdefault(source, []).append(key)
        self.shared: dict[frozenset[Cell], str] = {}

    def of(self, key: str) -> str:
        """``unlearn ssd (count=100, seed 0; alpha=10)``, ``train (count=100, seed 0)``.

        A stage that several cells share is called by what they share, where no other cell does.
        """
        stage = self.stages[key]
        places = self.places.get(key, [])
        model = dict(stage.inputs).get("unlearned")
        if model is not None and not places:  # it is what it looks at that has a name
            return f"{stage.kind} {self.of(model).partition(' ')[2]}"
        served = places or self._served(key)
        what = _methods(places) if places else _component(stage, served)
        values = _text(_plain(places[0].values)) if places else ""
        where = "; ".join(part for part in (self._where(stage, served), values) if part)
        return " ".join(part for part in (stage.kind, what, f"({where})" * bool(where)) if part)

    def _where(self, stage: Stage, places: list[_Place]) -> str:
        cells = frozenset(place.cell for place in places)
        if not cells:
            return _text(_facts(stage.cell))
        if all(cell.seeds != stage.cell.seeds for cell in cells):  # a further repetition
            axes = _common(_plain(cell.point) for cell in cells)
            return _text({**axes, **_seeds(stage.cell.seeds)})
        if cells not in self.shared:
            self.shared[cells] = self._shared(cells)
        return self.shared[cells]

    def _served(self, key: str) -> list[_Place]:
        """What needs a stage that stands in no table itself."""
        todo, seen, found = [key], {key}, list[_Place]()
        while todo:
            for reader in self.readers.get(todo.pop(), ()):
                if reader not in seen:
                    seen.add(reader)
                    found += self.places.get(reader, ())
                    todo += [] if reader in self.places else [reader]
        return found

    def _shared(self, cells: frozenset[Cell]) -> str:
        every = [facts for cell, facts in self.facts.items() if cell in cells]
        common = _common(every)
        fitting = sum(common.items() <= facts.items() for facts in self.facts.values())
        if fitting == len(cells):
            return _text(common)
        plural = "s" if len(cells) > 2 else ""
        return f"{_text(every[0])} and {len(cells) - 1} more cell{plural}"


def _methods(places: list[_Place]) -> str:
    labels = list(dict.fromkeys(place.method for place in places))
    if len(labels) > 2:
        return f"{labels[0]} and {len(labels) - 1} more methods"
    return ", ".join(labels)


def _component(stage: Stage, served: list[_Place]) -> str:
    """``badnet``, or ``fisher of retain for ssd``; a base model is the cell's."""
    if stage.kind == "train" or len(stage.uses) != 1:
        return ""
    subset = stage.detail.get("subset")
    return stage.uses[0].name + (f" of {subset} for {_methods(served)}" if subset else "")


def _plain(values: Mapping[str, Any]) -> Facts:
    return {name: str(value).removesuffix(".0") for name, value in values.items()}


def _seeds(seeds: Seeds) -> Facts:
    if seeds.together:
        return {"seed": seeds.label}
    return {f"{name} seed": getattr(seeds, name) for name in APART}


def _facts(cell: Cell) -> Facts:
    return {**_plain(cell.point), **_seeds(cell.seeds)}


def _common(several: Iterable[Facts]) -> Facts:
    first, *others = several
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def _text(facts: Facts) -> str:
    seeds = {name: value for name, value in facts.items() if name.endswith("seed")}
    parts = [f"{name}={value}" for name, value in facts.items() if name not in seeds]
    if len(seeds) == len(APART):
        return ", ".join([*parts, f"seed {'/'.join(map(str, seeds.values()))}"])
    return ", ".join([*parts, *(f"{name} {value}" for name, value in seeds.items())])
