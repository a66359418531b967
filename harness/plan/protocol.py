"""Compiles a spec into a plan. The only place that knows which stage feeds which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import count, groupby
from typing import Any

import attrs
from attrs import frozen

from harness.components import get, load
from harness.components.contracts import Request
from harness.errors import HarnessError
from harness.plan.asked import kept, of_base, of_base_below, prepared
from harness.plan.asked import requests as _requests
from harness.plan.cells import cells_of
from harness.plan.graph import Graph
from harness.plan.plan import Candidate, Choice, Group, Plan
from harness.plan.stage import Cell
from harness.spec.blocks import MethodUse, Spec, Unlearning, Use
from harness.spec.measures import needs_of
from harness.spec.requests import Features, Outputs, Prepare, Trained
from harness.spec.seeds import Seeds
from harness.spec.structure import structure_use, unstructure_settings
from harness.spec.sweeps import Assignment, assignments, substitute


def compile_plan(spec: Spec) -> Plan:
    """The plan of ``spec``: a pure function of the resolved spec. Needs neither torch nor data."""
    return _Compiler(spec).compile()


@frozen(eq=False)
class _Ready:
    """One candidate of a method: its component, and the values of its sweeps."""

    use: Use
    values: Mapping[str, Any]

    @property
    def scratch(self) -> bool:
        """Whether it starts from a new model."""
        return get("methods", self.use.name).traits.starts == "scratch"


def _candidates(method: MethodUse, within: Unlearning | None) -> list[_Ready]:
    plain = {"name": method.use.name, **unstructure_settings(method.use.settings)}
    return [_ready(substitute(plain, point), point, within) for point in assignments(plain)]


def _ready(plain: Mapping[str, Any], point: Assignment, within: Unlearning | None) -> _Ready:
    use = structure_use("methods", plain)
    traits = get("methods", use.name).traits
    settings = traits.within(use.settings, within.budget) if within else use.settings
    values = {".".join(map(str, path)): value for path, value in point.items()}
    return _Ready(Use(use.kind, use.name, traits.same_as(settings)), values)


def _exact(methods: Iterable[tuple[MethodUse, Sequence[_Ready]]]) -> _Ready:
    """The retraining that distances are measured to: the spec's own, or the default one."""
    for method, candidates in methods:
        if get("methods", method.use.name).traits.exact and len(candidates) == 1:
            return candidates[0]
    name = next(name for name, known in load("methods").items() if known.traits.exact)
    return _ready({"name": name}, {}, None)


class _Compiler:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.graph = Graph()
        self.methods = cache(lambda block: [(m, _candidates(m, block)) for m in spec.methods])
        over = {use: get("metrics", use.name).traits.over for use in spec.metrics}
        self.metrics = tuple(use for use in spec.metrics if over[use] == "model")
        self.scores = tuple(use for use in spec.metrics if over[use] == "population")
        self.exact = _exact(self.methods(None))
        self.referenced = any("reference" in needs_of(use) for use in self.metrics)
        self.asked = tuple(dict.fromkeys(r for use in self.metrics for r in _requests(use)))
        uses = [ready.use for _, candidates in self.methods(None) for ready in candidates]
        self.of_base = tuple(dict.fromkeys(of_base_below([*spec.metrics, *uses])))

    def compile(self) -> Plan:
        def population(cell: Cell) -> Any:
            return cell.seeds.data, cell.seeds.model, list(cell.point.items())

        choices: list[Choice] = []
        if not self.scores:
            for cell in cells_of(self.spec):
                choices += [Choice((group,)) for group in self._groups(_Cell(self, cell))]
        else:
            for _, cells in groupby(cells_of(self.spec), population):
                choices += self._populations([_Cell(self, cell) for cell in cells])
        return Plan(self.spec, self.graph.stages, tuple(choices))

    def _groups(self, cell: _Cell) -> Iterator[Group]:
        reference = cell.unlearn(self.exact) if self.referenced else None
        for method, candidates in self.methods(cell.cell.unlearning):
            rows = []
            for ready in candidates:
                unlearn = cell.unlearn(ready, method.max_cost)
                rows.append(Candidate(ready.values, unlearn, cell.evaluate(unlearn, reference)))
            yield Group(cell.cell, method, tuple(rows))

    def _populations(self, cells: list[_Cell]) -> Iterator[Choice]:
        """The groups of cells that differ in their unlearning seed, with their scores."""
        by_method = zip(*(self._groups(cell) for cell in cells), strict=True)
        methods = self.methods(cells[0].cell.unlearning)
        for (_, candidates), groups in zip(methods, by_method, strict=True):
            scores = [self._score(cells, ready) for ready in candidates]
            yield Choice(tuple(groups), tuple(scores))

    def _score(self, cells: list[_Cell], ready: _Ready) -> str:
        """The stage that measures the population of one candidate over ``cells``."""
        first = cells[0]
        splits = sorted({split for use in self.scores for split in _read(use)})
        asked = dict.fromkeys(r for use in self.scores for r in _requests(use))
        inputs = first.data | first._answers(r for r in asked if not isinstance(r, Outputs))
        for request in (r for r in asked if isinstance(r, Outputs)):
            for number, cell in enumerate(_repeated(cells, request)):
                key = cell.outputs(request, ready, self.exact, splits)
                inputs[f"{request.role}:{number}"] = key
        seeds = [str(cell.cell.seeds.unlearn) for cell in cells]
        return self.graph.add("score", first.cell, inputs, self.scores, seeds=seeds)


def _read(metric: Use) -> tuple[str, ...]:
    reads = get("metrics", metric.name).traits.reads
    if reads is None:
        raise HarnessError(f"the metric {metric.name!r} over a population must say what it reads")
    return reads(metric.settings)


def _repeated(cells: list[_Cell], request: Outputs) -> Iterator[_Cell]:
    """One cell for each model of a population: ``cells``, or others with further seeds."""
    first = cells[0]
    axis = "model" if request.of == "original" else "unlearn"
    own = dict.fromkeys(getattr(cell.cell.seeds, axis) for cell in cells)
    further = count(max(own) + 1)  # so that no model stands twice in a population
    for number in range(request.count or len(cells)):
        seed = next(further) if number >= len(own) else list(own)[number]
        moved = {axis: seed + request.offset, "together": False}
        yield first.with_seeds(attrs.evolve(first.cell.seeds, **moved))


@frozen(eq=False, slots=False)
class _Cell:
    """Adds the stages of one cell, and answers what components ask for."""

    compiler: _Compiler
    cell: Cell

    def with_seeds(self, seeds: Seeds) -> _Cell:
        """The same cell in another repetition."""
        return _Cell(self.compiler, attrs.evolve(self.cell, seeds=seeds))

    def _add(self, kind: str, inputs: Mapping[str, str], *uses: Use, **detail: Any) -> str:
        return self.compiler.graph.add(kind, self.cell, inputs, uses, **detail)

    @cached_property
    def data(self) -> dict[str, str]:
        """What every stage that looks at the data reads: the corruption, and any features."""
        inputs = self._features(self.cell.data.features)
        blind = _Cell(self.compiler, self.cell.undefended)
        asked = blind._answers(_requests(self.cell.corruption), before_corruption=True)
        return {**inputs, "corrupt": self._add("corrupt", inputs | asked, self.cell.corruption)}

    def _features(self, backbone: Use | None, role: str = "features") -> dict[str, str]:
        if backbone is None:
            return {}
        return {role: self._add("features", {}, backbone)}

    @cached_property
    def base(self) -> str:
        """The base model, with the snapshots that anything of the spec asks for."""
        return self._train(self.compiler.of_base)

    def _train(self, asked: Iterable[Trained]) -> str:
        return self._add("train", self.data, self.cell.model, snapshots=kept(self.cell, asked))

    def answer(self, request: Request, *, before_corruption: bool = False) -> dict[str, str]:
        """The role and key of the stage that answers ``request``."""
        match request:
            case Prepare() | Trained(data="corrupted") if before_corruption:
                raise HarnessError(
                    f"the corruption {self.cell.corruption.name!r} asks for {request.role!r}, "
                    "which is made from what it does to the data; it can ask for a model that is "
                    "trained on clean data, and for features"
                )
            case Prepare():
                return {request.role: self._prepare(request)}
            case Features():
                return self._features(request.backbone, request.role)
            case Trained():
                return {request.role: self._trained(request)}
        raise HarnessError(f"{request!r} cannot be asked for here")

    def _answers(
        self, requests: Iterable[Request], *, before_corruption: bool = False
    ) -> dict[str, str]:
        """Raises HarnessError where several components of a stage mean different things by one
        name: one of them would be answered with what the other asked for."""
        found: dict[str, str] = {}
        for request in requests:
            for role, key in self.answer(request, before_corruption=before_corruption).items():
                if found.setdefault(role, key) != key:
                    raise HarnessError(f"{role!r} is asked for twice, with different settings")
        return found

    def _trained(self, request: Trained) -> str:
        """A model on clean or corrupted data, by the spec's recipe or its own. By the spec's, it
        is one with the base model that a cell of such data and seeds has."""
        if of_base(request):
            return self.base
        own = request.model is not None or request.train is not None
        return self._of(request)._train([request] if own else [request, *self.compiler.of_base])

    def _of(self, request: Trained) -> _Cell:
        """The cell whose base model ``request`` asks for."""
        seeds = self.cell.seeds
        if request.seed:
            seeds = attrs.evolve(seeds, model=seeds.model + request.seed, together=False)
        cell = attrs.evolve(
            self.cell,
            seeds=seeds,
            model=request.model or self.cell.model,
            train=request.train or self.cell.train,
            corruption=_clean() if request.data == "clean" else self.cell.corruption,
        )
        return _Cell(self.compiler, cell)

    def _prepare(self, request: Prepare) -> str:
        if request.model is not None:
            own = attrs.evolve(request, model=None)
            return self._of(request.model)._prepare(own)
        use = prepared(request)
        inputs = {**self.data, "base": self.base, **self._answers(_requests(use))}
        return self._add("prepare", inputs, use, subset=request.subset)

    def unlearn(self, ready: _Ready, max_cost: float | None = None) -> str:
        """The model that a candidate makes."""
        inputs = dict(self.data)
        if not ready.scratch:
            inputs["base"] = self.base
        inputs |= self._answers(_requests(ready.use))
        return self._add("unlearn", inputs, ready.use, max_cost=max_cost)

    def evaluate(self, unlearn: str, reference: str | None) -> str:
        """What the metrics over one model measure of it."""
        inputs = {**self.data, "base": self.base, "unlearned": unlearn}
        if reference:
            inputs["reference"] = reference
        inputs |= self._answers(self.compiler.asked)
        return self._add("evaluate", inputs, *self.compiler.metrics)

    def outputs(self, request: Outputs, ready: _Ready, exact: _Ready, splits: list[str]) -> str:
        """The logits of one model of a population."""
        match request.of:
            case "original":
                model = {"base": self.base}
            case "retrained":
                model = {"unlearned": self.unlearn(exact)}
            case "unlearned":
                model = {"unlearned": self.unlearn(ready)}
        return self._add("outputs", {**self.data, **model}, splits=splits)


def _clean() -> Use:
    """The corruption that leaves the data as they are."""
    name = next(name for name, known in load("corruptions").items() if known.traits.clean)
    return structure_use("corruptions", name)
