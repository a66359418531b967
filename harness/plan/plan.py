"""Compiles a spec into a plan: the graph of unique stages, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from harness.components import get
from harness.plan.stage import REVISIONS, Cell, Stage, canonical, digest, identity
from harness.spec.blocks import Data, MethodUse, Spec, Train, Use
from harness.spec.check import needs_of
from harness.spec.structure import structure_block, structure_use, unstructure_settings
from harness.spec.sweeps import Assignment, assignments, axis_names, cell_blocks, substitute


@frozen(eq=False, slots=True)
class Candidate:
    """One point of a method's sweep in one cell: a row of the results."""

    values: Mapping[str, Any]
    unlearn: str
    evaluate: str


@frozen(eq=False, slots=True)
class Group:
    """All candidates of one method in one cell and seed, which ``select`` reduces to one."""

    cell: Cell
    method: MethodUse
    candidates: tuple[Candidate, ...]


@frozen(eq=False)
class Plan:
    """Stages by key in an order in which inputs come first, and the groups that need them."""

    spec: Spec
    stages: Mapping[str, Stage]
    groups: tuple[Group, ...]

    @property
    def points(self) -> int:
        """How many rows the tables have before anything is merged."""
        return sum(len(group.candidates) for group in self.groups)


@frozen(eq=False)
class _Ready:
    """One candidate's component with all that does not depend on the cell worked out.

    ``split`` says whether it looks at what is to be forgotten; if not, all forget sets share it.
    """

    use: Use
    values: Mapping[str, Any]
    scratch: bool
    split: bool
    prepares: tuple[Any, ...]


def compile_plan(spec: Spec) -> Plan:
    """The plan of ``spec``: a pure function of the resolved spec. Needs neither torch nor data."""
    return _Compiler(spec).compile()


def cells_of(spec: Spec) -> Iterator[Cell]:
    """Every cell of ``spec``, once for each seed."""
    blocks = cell_blocks(spec)
    axes = axis_names(spec)
    for point in assignments(blocks):
        values = {name: point[path] for name, path in axes.items()}
        resolved = _structured(spec, substitute(blocks, point))
        for seed in spec.seeds:
            yield Cell(seed=seed, point=values, **resolved)


def _structured(spec: Spec, blocks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "data": structure_block(Data, blocks["data"]),
        "corruption": structure_use("corruptions", blocks["corruption"]),
        "model": structure_use("models", blocks["model"]),
        "train": structure_block(Train, blocks["train"]),
        "forget": structure_use("forget_sets", blocks["forget"]),
    }


def _candidates(method: MethodUse) -> list[_Ready]:
    plain = {"name": method.use.name, **unstructure_settings(method.use.settings)}
    return [_ready(substitute(plain, point), point) for point in assignments(plain)]


def _ready(plain: Mapping[str, Any], point: Assignment) -> _Ready:
    use = structure_use("methods", plain)
    traits = get("methods", use.name).traits
    use = Use(use.kind, use.name, traits.same_as(use.settings))
    return _Ready(
        use=use,
        values={".".join(map(str, path)): value for path, value in point.items()},
        scratch=traits.starts == "scratch",
        split=not {"retain", "forget"}.isdisjoint(traits.sees),
        prepares=tuple(traits.requests(use.settings)),
    )


def _reads_split(metric: Use) -> bool:
    """Whether ``metric`` looks at the retain or forget set; one that does not say so might."""
    reads = get("metrics", metric.name).traits.reads
    return reads is None or not {"retain", "forget"}.isdisjoint(reads(metric.settings))


class _Compiler:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.stages: dict[str, Stage] = {}
        self.methods = [(method, _candidates(method)) for method in spec.methods]
        self.metrics = canonical([identity(use) for use in spec.metrics])
        self.split = any(_reads_split(use) for use in spec.metrics)
        needed = any("reference" in needs_of(use) for use in spec.metrics)
        self.reference = self._reference() if needed else None

    def _reference(self) -> _Ready:
        """The retraining that distances are measured to: the spec's own, or the default one."""
        for method, candidates in self.methods:
            if method.use.name == "retrain" and len(candidates) == 1:
                return candidates[0]
        return _ready({"name": "retrain"}, {})

    def compile(self) -> Plan:
        groups = [group for cell in cells_of(self.spec) for group in self._groups(cell)]
        return Plan(self.spec, self.stages, tuple(groups))

    def _add(self, kind: str, cell: Cell, inputs: dict[str, str], *facts: str, **rest: Any) -> str:
        key = digest(kind, str(REVISIONS[kind]), *facts, *inputs.values())
        if key not in self.stages:
            stage = Stage(kind, key, inputs=tuple(inputs.items()), cell=cell, **rest)
            self.stages[key] = stage
        return key

    def _groups(self, cell: Cell) -> Iterator[Group]:
        corrupt = self._add(
            "corrupt",
            cell,
            {},
            identity(attrs.evolve(cell.data, augment=())),
            identity(cell.corruption),
            str(cell.seed),
            uses=(cell.corruption,),
        )
        recipe = (
            identity(cell.data.augment),
            identity(cell.model),
            identity(cell.train),
        )
        base = self._add("train", cell, {"corrupt": corrupt}, *recipe, uses=(cell.model,))
        rest = _Cell(self, cell, corrupt, base, recipe, identity(cell.forget))
        reference = rest.unlearn(self.reference, None) if self.reference else None
        for method, candidates in self.methods:
            rows = []
            for ready in candidates:
                unlearn = rest.unlearn(ready, method.max_cost)
                rows.append(Candidate(ready.values, unlearn, rest.evaluate(unlearn, reference)))
            yield Group(cell, method, tuple(rows))


@frozen(eq=False)
class _Cell:
    """Adds the stages of one cell that follow its base model."""

    compiler: _Compiler
    cell: Cell
    corrupt: str
    base: str
    recipe: tuple[str, ...]
    forget: str

    def unlearn(self, ready: _Ready, max_cost: float | None) -> str:
        inputs = {"corrupt": self.corrupt}
        facts = [identity(ready.use), self.forget if ready.split else ""]
        if ready.scratch:
            facts += self.recipe
        else:
            inputs["base"] = self.base
        inputs |= self._prepared(ready.prepares)
        return self.compiler._add(
            "unlearn", self.cell, inputs, *facts, uses=(ready.use,), max_cost=max_cost
        )

    def _prepared(self, requests: Iterable[Any]) -> dict[str, str]:
        """Roles and keys of the stages that ``requests`` stand for."""
        return {f"prepare:{r.name}:{r.subset}": self._prepare(r) for r in requests}

    def _prepare(self, request: Any) -> str:
        use = Use("preparations", request.name, request.settings)
        subset = "" if request.subset == "train" else self.forget
        inputs = {"corrupt": self.corrupt, "base": self.base}
        requests = get("preparations", use.name).traits.requests
        inputs |= self._prepared(requests(use.settings))
        return self.compiler._add(
            "prepare",
            self.cell,
            inputs,
            identity(use),
            request.subset,
            subset,
            uses=(use,),
            subset=request.subset,
        )

    def evaluate(self, unlearn: str, reference: str | None) -> str:
        inputs = {"corrupt": self.corrupt, "base": self.base, "unlearned": unlearn}
        if reference:
            inputs["reference"] = reference
        return self.compiler._add(
            "evaluate",
            self.cell,
            inputs,
            self.compiler.metrics,
            self.forget if self.compiler.split else "",
            uses=self.compiler.spec.metrics,
        )
