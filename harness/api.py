"""What the package offers to Python, and its command line uses.

``harness.run`` stands with its command. Models and reports are imported by the functions that need
them, so that reading a spec stays instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.components import get
from harness.errors import HarnessError, UsageError, nearest
from harness.plan.only import restrict
from harness.plan.plan import Plan
from harness.plan.protocol import cells_of, compile_plan
from harness.plan.stage import Cell, Stage, canonical
from harness.spec.blocks import Spec
from harness.spec.fit import facts_of
from harness.spec.load import load_with_origins, profile_names
from harness.spec.merge import as_set
from harness.spec.origins import Row
from harness.spec.structure import structure
from harness.store import Store
from harness.store.store import default_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.report.results import ResultRow, Results
    from harness.store.registry import Entry

Place = Path | str


@frozen
class Experiment:
    """A spec that was read and checked, with where its values come from.

    ``origins`` has path, value, origin and place of every value; ``profile`` is ``cpu+official``
    where both were applied, and ``changes`` are the ``PATH=VALUE`` that came on top. ``notices``
    say what it leaves out of a spec that it extends.
    """

    file: Path
    spec: Spec
    origins: list[Row]
    profile: str | None
    changes: tuple[str, ...]
    notices: tuple[str, ...] = ()

    def plan(self, only: Sequence[str] = ()) -> Plan:
        """Its stages and the rows of its tables; ``only`` those that fit each ``AXIS=VALUE``."""
        return restrict(compile_plan(self.spec), only)

    @property
    def folder(self) -> Path:
        """Where its report goes unless another place is named."""
        return Path("results") / self.spec.id / (self.profile or "default")


def load(
    spec: Place,
    profile: str | None = None,
    sets: Sequence[str] = (),
    add_methods: Sequence[str] = (),
) -> Experiment:
    """Read and check the file ``spec`` with profiles (``a,b``) and changes (``PATH=VALUE``).

    Each of ``add_methods`` is one more method: its name, its mapping in YAML, or a YAML file.

    Raises:
        SpecError: with every problem of the spec and of each of its profiles.
        UsageError: a file cannot be read, or there is no such profile.
    """
    file = Path(spec)
    loaded, origins, notices = load_with_origins(file, profile, sets, add_methods)
    applied = "+".join(profile_names(profile)) or None
    changes = (*map(as_set, add_methods), *sets)
    return Experiment(file, loaded, origins, applied, changes, notices)


def read_results(folder: Place) -> Results:
    """The results in ``folder``, or in the file ``results.json``. Raises UsageError."""
    from harness import report

    return report.read_results(Path(folder))


def load_model(
    results: Results | Place,
    *,
    method: str | None = None,
    seed: int | str | None = None,
    cell: Mapping[str, Any] | None = None,
    store: Place | None = None,
) -> nn.Module:
    """The unlearned model of one row of ``results``, on the CPU and in eval mode.

    It is the chosen candidate of ``method`` for ``seed`` in the ``cell`` with these values; what
    only one row leaves open need not be said. ``results`` may also be the folder they lie in, or
    the file of a registry entry, as for ``load_checkpoint``.

    Raises:
        UsageError: no row fits, or several; the message says what there is.
        HarnessError: ``store`` (default: that of the command line) lacks its weights.
        IntegrityError: they are damaged.
    """
    if isinstance(results, Path | str):
        if Path(results).suffix == ".yaml":
            return load_checkpoint(results, store=store)
        results = read_results(results)
    row = _chosen_row(results.rows, method, seed, cell or {})
    if row.diverged:
        raise UsageError(f"{row.method} diverged there ({row.diverged}), so there is no model")
    folder = Store(Path(store or default_folder()))
    key = row.keys["unlearn"]
    if not folder.has("unlearn", key, tensors=True):
        raise HarnessError(
            f"the store {folder.folder} has no weights of {row.method} (unlearn {key[:12]}); "
            "name the store of the run, run the spec with this one, or fetch what is published "
            "with 'harness pull'"
        )
    return _model(_cell_of(structure(results.spec), row), folder.read("unlearn", key).tensors)


def load_checkpoint(
    entry: Place, *, spec: Place | None = None, store: Place | None = None, offline: bool = False
) -> nn.Module:
    """The published model of a registry entry's file, on the CPU and in eval mode.

    It is fetched into ``store`` unless it is there. Its architecture comes from the file ``spec``;
    without one, from the spec of that name in ``specs/`` beside the registry.

    Raises:
        UsageError: the entry is of no model, or there is no such spec.
        RemoteError: the Hub cannot be reached or refuses.
        IntegrityError: a file is not what the registry says.
    """
    from harness.plan.kinds import kinds, publishable
    from harness.stages.foreign import unlike
    from harness.store.fetch import fetch
    from harness.store.hub import Hub
    from harness.store.registry import read_entry

    found = read_entry(Path(entry), publishable())
    if not kinds()[found.kind].weights:
        models = " and ".join(name for name, kind in kinds().items() if kind.weights)
        raise UsageError(f"{entry}: a {found.kind} artifact is no model; {models} are")
    stage = _published_stage(found, Path(spec) if spec else _spec_beside(found))
    folder = Store(Path(store or default_folder()))
    if not folder.has(found.kind, found.key, tensors=True):
        fetch(found, Hub(offline=offline), folder, partial(unlike, stage))
    return _model(stage.cell, folder.read(found.kind, found.key).tensors)


def _chosen_row(
    rows: Iterable[ResultRow],
    method: str | None,
    seed: int | str | None,
    cell: Mapping[str, Any],
) -> ResultRow:
    """The one chosen row that fits. Raises UsageError with what there is."""
    found = [row for row in rows if row.selected]
    if not found:
        raise UsageError("no candidate was chosen in these results, so there is no model")
    axes = list(found[0].cell)
    if unknown := [axis for axis in cell if axis not in axes]:
        there = f"axes: {', '.join(axes) or 'none'}"
        raise UsageError(f"no axis {unknown[0]!r}{nearest(unknown[0], axes)} ({there})")
    asked = {"method": method, "seed": seed, **{axis: cell.get(axis) for axis in axes}}
    for name, value in asked.items():
        if value is not None:
            found = _fitting(found, name, value)
    if len(found) > 1:
        open_ = {name: _values(found, name) for name in asked}
        said = ", ".join(f"{n} ({', '.join(v)})" for n, v in open_.items() if len(v) > 1)
        raise UsageError(f"{len(found)} models fit; say which: {said}")
    return found[0]


def _fitting(rows: list[ResultRow], name: str, value: Any) -> list[ResultRow]:
    found = [row for row in rows if _value(row, name) == value]
    if not found:
        there = _values(rows, name)
        raise UsageError(
            f"no result with {name} {value!r}{nearest(str(value), there)} "
            f"(there: {', '.join(there)})"
        )
    return found


def _value(row: ResultRow, name: str) -> Any:
    return getattr(row, name) if name in ("method", "seed") else row.cell[name]


def _values(rows: Iterable[ResultRow], name: str) -> list[str]:
    return list(dict.fromkeys(str(_value(row, name)) for row in rows))


def _cell_of(spec: Spec, row: ResultRow) -> Cell:
    """The cell that ``row`` was measured in, sweeps resolved."""
    point = canonical(row.cell)
    for cell in cells_of(spec):
        if cell.seed == row.seed and canonical(dict(cell.point)) == point:
            return cell
    raise UsageError(f"the spec of these results has no cell {point} with seed {row.seed}")


def _spec_beside(entry: Entry) -> Path:
    """The file of the entry's spec in the ``specs`` folder beside its registry."""
    wanted = f"id: {entry.spec['id']}"
    specs = entry.file.resolve().parents[2] / "specs"
    for file in sorted(specs.rglob("*.yaml")):
        if wanted in file.read_text(encoding="utf-8").splitlines():
            return file
    raise UsageError(f"{entry.file}: no spec {entry.spec['id']!r} below {specs}; name its file")


def _published_stage(entry: Entry, spec: Path) -> Stage:
    """The stage that ``entry`` is the artifact of."""
    profile = entry.spec.get("profile")
    stages = load(spec, profile.replace("+", ",") if profile else None).plan().stages
    if entry.key not in stages:
        raise UsageError(
            f"{entry.file}: no stage of {spec} has the key {entry.key[:12]}; the spec or a "
            "component of it has changed since this was published"
        )
    return stages[entry.key]


def _model(cell: Cell, weights: Mapping[str, Tensor] | None) -> nn.Module:
    """The architecture of ``cell`` with ``weights``, in eval mode."""
    from harness.plan.cost import architecture
    from harness.stages.fitting import SNAPSHOT
    from harness.stages.world import load_weights
    from harness.training.seeding import seeded_build

    use, facts = architecture(cell.model), facts_of(cell.data)
    function: Callable[..., nn.Module] = get("models", use.name).function
    build = partial(function, use.settings, facts.encoding, facts.classes)
    model = seeded_build(build, "weights are loaded")
    load_weights(model, {k: v for k, v in (weights or {}).items() if SNAPSHOT not in k})
    return model.eval()
