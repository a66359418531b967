"""What the package offers to Python, and its command line uses.

``harness.run`` stands with its command. Models and reports are imported by the functions that need
them, so that reading a spec stays instant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from harness.components import get
from harness.errors import HarnessError, IntegrityError, UsageError, nearest
from harness.plan.cells import cells_of
from harness.plan.only import restrict
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import Cell, canonical
from harness.spec.blocks import Data, Spec, Use
from harness.spec.fit import architecture, facts_of
from harness.spec.load import load_with_origins, profile_names
from harness.spec.merge import as_set
from harness.spec.origins import Row
from harness.spec.structure import structure
from harness.store import Store
from harness.store.store import default_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.report.results import ResultRow, Results
    from harness.store.hub import Hub
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
    only one row leaves open need not be said. ``results`` may also be the folder they lie in.

    Raises:
        UsageError: no row fits, or several; the message says what there is.
        HarnessError: ``store`` (default: that of the command line) lacks its weights.
        IntegrityError: they are damaged.
    """
    if isinstance(results, Path | str):
        results = read_results(results)
    rows = [row for row in results.rows if row.selected]
    if not rows:
        raise UsageError("no candidate was chosen in these results, so there is no model")
    row = _one(rows, {"method": method, "seed": seed}, cell or {})
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
    cell_ = _cell_of(structure(results.spec), row)
    return _model(cell_.data, architecture(cell_.model), folder.read("unlearn", key).tensors)


def load_checkpoint(
    source: Place,
    *,
    method: str | None = None,
    seed: int | str | None = None,
    cell: Mapping[str, Any] | None = None,
    path: str | None = None,
    revision: str | None = None,
    offline: bool = False,
) -> nn.Module:
    """A published model, on the CPU and in eval mode.

    ``source`` is a repository, ``org/name``, at ``revision`` (a commit pins it), or a file of the
    registry. Of the models there it is the one of ``method`` (``train``: the base model), ``seed``
    and ``cell``, or the one at ``path``; what only one leaves open need not be said. Its files come
    through the Hub library's cache and are hashed before anything reads them.

    Raises:
        UsageError: no model fits, or several; the message says what there is.
        RemoteError: the Hub cannot be reached or refuses.
        IntegrityError: a file is not what the list of files says, or it describes no model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from harness.plan.model_config import described
    from harness.store.fetch import checked
    from harness.store.hub import Hub
    from harness.store.registry import CONFIG

    hub, store = Hub(offline=offline), default_folder()
    models = [entry for entry in _listed(source, revision, hub) if CONFIG in entry.files]
    if not models:
        raise UsageError(f"{source} lists no models")
    entry = _one(models, {"method": method, "seed": seed, "path": path}, cell or {})
    place = f"{entry.path}/{CONFIG} of {entry.repo}"
    data, model = described(checked(entry, entry.files[CONFIG], hub, store), place)
    if entry.tensors is None:
        raise UsageError(f"{entry.place}: its weights are not published")
    try:
        weights = load_file(checked(entry, entry.tensors, hub, store))
    except SafetensorError as problem:
        raise IntegrityError(f"{entry.tensors.path} of {entry.repo}: {problem}") from None
    return _model(data, model, weights)


def _listed(source: Place, revision: str | None, hub: Hub) -> list[Entry]:
    """What a repository or a file of the registry lists."""
    from harness.plan.kinds import kinds
    from harness.store.registry import INDEX, MAX_BYTES, REPO, content_of, entries_in

    file = Path(source)
    if file.suffix == ".jsonl":
        return entries_in(content_of(file), file, kinds())
    repo = str(source)
    if not re.fullmatch(REPO, repo) or ".." in repo:
        raise UsageError(f"{repo!r} is neither a repository, ORG/NAME, nor a .jsonl of a registry")
    pinned = revision is not None and re.fullmatch("[0-9a-f]{40}", revision)
    commit = revision if pinned and revision else hub.head(repo, revision)
    listed = content_of(hub.download(repo, commit, INDEX, MAX_BYTES).resolve())
    return entries_in(listed, Path(repo, INDEX), kinds(), repo=repo, commit=commit)


R = TypeVar("R", "ResultRow", "Entry")


def _one(rows: Sequence[R], asked: Mapping[str, Any], cell: Mapping[str, Any]) -> R:
    """The one of ``rows`` that fits. Raises UsageError with what there is."""
    axes = list(dict.fromkeys(axis for row in rows for axis in row.cell))
    if unknown := [axis for axis in cell if axis not in axes]:
        known = f"axes: {', '.join(axes) or 'none'}"
        raise UsageError(f"no axis {unknown[0]!r}{nearest(unknown[0], axes)} ({known})")
    found, asked = list(rows), {**asked, **{axis: cell.get(axis) for axis in axes}}
    for name, value in asked.items():
        if value is not None:
            there = _values(found, name)
            found = [row for row in found if _value(row, name) == value]
            if not found:
                raise UsageError(
                    f"no result with {name} {value!r}{nearest(str(value), there)} "
                    f"(there: {', '.join(there[:20])})"
                )
    if len(found) > 1:
        every = {name: _values(found, name) for name in asked}
        open_ = {name: values for name, values in every.items() if len(values) > 1}
        if len(open_) > 1:
            open_.pop("path", None)  # the others say it in fewer words
        said = ", ".join(f"{n} ({', '.join(v[:20])})" for n, v in open_.items())
        raise UsageError(f"{len(found)} models fit; say which: {said}")
    return found[0]


def _value(row: ResultRow | Entry, name: str) -> Any:
    return getattr(row, name) if name in ("method", "seed", "path") else row.cell.get(name)


def _values(rows: Iterable[ResultRow | Entry], name: str) -> list[str]:
    return list(dict.fromkeys(str(_value(row, name)) for row in rows))


def _cell_of(spec: Spec, row: ResultRow) -> Cell:
    """The cell that ``row`` was measured in, sweeps resolved."""
    point = canonical(row.cell)
    for cell in cells_of(spec):
        if cell.seed == row.seed and canonical(dict(cell.point)) == point:
            return cell
    raise UsageError(f"the spec of these results has no cell {point} with seed {row.seed}")


def _model(data: Data, model: Use, weights: Mapping[str, Tensor] | None) -> nn.Module:
    """The architecture ``model`` for ``data`` with ``weights``, in eval mode."""
    import torch

    from harness.stages.fitting import SNAPSHOT
    from harness.stages.world import check_weights, load_weights
    from harness.training.seeding import seeded_build

    facts = facts_of(data)
    function: Callable[..., nn.Module] = get("models", model.name).function
    build = partial(function, model.settings, facts.encoding, facts.classes)
    plain = {k: v for k, v in (weights or {}).items() if SNAPSHOT not in k}
    with torch.device("meta"):  # which costs nothing, however large a stranger says that it is
        check_weights(build(), plain)
    found = seeded_build(build, "weights are loaded")
    load_weights(found, plain)
    return found.eval()
