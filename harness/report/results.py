"""What a report is made of: rows, summaries, verdicts and facts, as ``results.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.components.contracts import Range
from harness.report.curve import Curve
from harness.report.record import Record, Seed, entry
from harness.report.spread import Statistics
from harness.report.verdict import Verdict

if TYPE_CHECKING:
    import pandas

FORMAT = 1
WIDTH = 120

Values = Mapping[str, Any]  # by name: of the axes of a cell, or of the settings of a candidate
EMPTY: Mapping[str, Any] = {}


@frozen
class ResultRow(Record):
    """What was measured of one candidate in one cell, for one seed.

    ``notes`` names the metrics that are None because they were not finite, ``series`` are the
    lists that the method recorded, ``diverged`` says why nothing is measured.
    """

    cell: Values
    seed: Seed
    method: str
    candidate: Values
    selected: bool
    metrics: Mapping[str, float | None]
    keys: Mapping[str, str]
    series: Mapping[str, tuple[Any, ...]] = entry(EMPTY, sparse=True)
    notes: Mapping[str, str] = entry(EMPTY, sparse=True)
    diverged: str = entry("", sparse=True)


@frozen
class ScoreRow(Record):
    """What was measured of a population: models of one candidate that differ in their unlearning
    seed. ``seeds`` are those that they share; ``models`` counts those of each population;
    ``series`` are the lists that a metric left, ``rejected`` says why the method does not count."""

    cell: Values
    seeds: Mapping[str, int]
    method: str
    candidate: Values
    selected: bool
    metrics: Mapping[str, float | None]
    models: Mapping[str, int]
    keys: Mapping[str, str]
    series: Mapping[str, tuple[Any, ...]] = entry(EMPTY, sparse=True)
    diverged: str = entry("", sparse=True)
    rejected: str = entry("", sparse=True)


@frozen
class Summary(Record):
    """The chosen candidates of a method in one cell, over seeds, and how many of them diverged."""

    cell: Values
    method: str
    seeds: tuple[Seed, ...]
    metrics: Mapping[str, Statistics]
    diverged: int = entry(0, sparse=True)


@frozen
class Gap(Record):
    """The seeds for which a method has no chosen result in one cell."""

    cell: Values
    method: str
    seeds: tuple[Seed, ...]


@frozen
class MetricFacts(Record):
    """What a measured name means."""

    component: str = ""
    better: str = "none"
    unit: str = ""
    doc: str = ""
    over: str = entry("model", sparse=True)
    range: Range = entry((None, None), sparse=True)
    of_training: bool = entry(False, sparse=True)  # it reads nothing but retain and forget set


@frozen
class MethodFacts(Record):
    """What a method is, and what it may see."""

    component: str = ""
    summary: str = ""
    source: str = ""
    sees: tuple[str, ...] = ()
    settings: Values = EMPTY


@frozen
class ComponentFacts(Record):
    """A component that the spec names. ``edited`` counts its stages that were computed by other
    code of the same revision; ``unread``: its code is nowhere to be read, so that nobody knows."""

    kind: str
    name: str
    revision: int
    source: str = ""
    edited: int = entry(0, sparse=True)
    unread: bool = entry(False, sparse=True)


@frozen
class DataFacts(Record):
    """The data that were read; nothing is known where none were."""

    name: str | None = None
    digest: str | None = None
    classes: int | None = None
    shape: tuple[int, ...] = ()
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    lossy: bool = False
    tokenizer: str | None = entry(None, sparse=True)

    @property
    def splits(self) -> dict[str, int]:
        """The number of samples in each part, as far as it is known."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {part: count for part, count in parts.items() if count is not None}


@frozen
class Failure(Record):
    """A stage that raised, and the names of those that were not run for it."""

    stage: str
    error: str
    stopped: tuple[str, ...]
    key: str = ""


@frozen
class Trigger(Record):
    """What a corruption does to some samples: pictures as base64 PNG by kind, or parts of texts."""

    title: str
    images: tuple[Mapping[str, Any], ...]

    @property
    def texts(self) -> list[str]:
        """The texts with the trigger."""
        return [str(image["text"]) for image in self.images if "text" in image]


@frozen
class Machine(Record):
    """Where a run was computed."""

    system: str | None = None
    cpu: str | None = None
    cpus: int | None = None
    extensions: tuple[str, ...] = ()  # of the processor's instructions
    devices: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    cuda: str | None = None
    cudnn: int | None = None
    driver: str | None = None


@frozen
class Git(Record):
    """The checkout that ran."""

    revision: str = "unknown"
    dirty: bool = False


@frozen
class Seconds(Record):
    """Time on the wall, of processors and of accelerators; ``n`` where it is a mean over n."""

    wall: float | None = None
    cpu: float | None = None
    gpu: float | None = None
    n: int | None = None


@frozen
class StageSources(Record):
    """How many stages the run computed, which it fetched from where on the Hub, by key, and what
    was measured of reused models apart from what the registry says."""

    computed: int
    fetched_from: Mapping[str, str] = entry(key="hub")
    apart: tuple[str, ...] = entry((), sparse=True)


@frozen
class Provenance(Record):
    """When, where and with what a run was made; all else is the same in every run of a spec.

    ``times`` are those of one unlearning by method; ``computed`` that of all stages, whenever they
    were computed. ``resources`` has by kind of stage the peaks of ``memory`` and ``gpu_memory``, in
    bytes, and the mean of ``gpu_use``. ``device`` is what older files have instead of the machine's
    devices.
    """

    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    command: str | None = None
    machine: Machine | None = None
    versions: Mapping[str, str] = EMPTY
    packages: Mapping[str, str] = EMPTY
    plugins: Mapping[str, str] = EMPTY
    threads: tuple[int, ...] = ()
    git: Git | None = None
    constraints: str | None = None
    deterministic: str | None = None
    stages: StageSources | None = None
    times: Mapping[str, Seconds] = EMPTY
    computed: Seconds | None = None
    resources: Mapping[str, Mapping[str, float]] = EMPTY
    device: str | None = entry(None, sparse=True)


@frozen
class Order(Record):
    """Axes, cells, methods and metrics in the order of the spec; JSON objects are sorted."""

    axes: tuple[str, ...]
    cells: tuple[Values, ...]
    methods: tuple[str, ...]
    metrics: tuple[str, ...]


UNORDERED = Order((), (), (), ())


@frozen
class Results(Record):
    """The whole of ``results.json``.

    ``spec`` is the resolved spec as plain data, so that results are read without the components
    that it names; ``changes`` are what the command line changed in it, and ``origins`` the path,
    value, origin and place of each of its values, where it records them. ``stages`` counts those of
    the plan by kind. ``order``, ``summaries``, ``gaps`` and ``verdicts`` follow from the rest.
    """

    rows: tuple[ResultRow, ...]
    spec: Mapping[str, Any]
    profile: str | None
    metrics: Mapping[str, MetricFacts]
    methods: Mapping[str, MethodFacts]
    components: tuple[ComponentFacts, ...]
    data: DataFacts
    failed: tuple[Failure, ...]
    stages: Mapping[str, Any]
    provenance: Provenance
    changes: tuple[str, ...] = ()
    origins: tuple[tuple[str, str, str, str], ...] = ()
    triggers: tuple[Trigger, ...] = entry((), key="pictures")
    scores: tuple[ScoreRow, ...] = entry((), sparse=True)
    learning: tuple[Curve, ...] = entry((), sparse=True)
    order: Order = UNORDERED
    summaries: tuple[Summary, ...] = entry((), key="summary")
    gaps: tuple[Gap, ...] = entry((), key="missing")
    verdicts: tuple[Verdict, ...] = entry((), key="claims")
    format: int = FORMAT

    def summary(self, width: int = WIDTH) -> str:
        """A table for a terminal of ``width`` columns, with a row for each method: the mean of
        every metric over cells and seeds, and its 95 % interval where there are several seeds; and
        one of the methods by what is measured of many models together."""
        from harness.report.populations import closing_ranks
        from harness.report.tables import closing_table

        return "\n\n".join([closing_table(self, width), *closing_ranks(self, width)])

    def to_pandas(self) -> pandas.DataFrame:
        """Every row as measured, chosen or not, with the columns of ``--format csv``.

        Raises:
            HarnessError: pandas is not installed.
        """
        from harness.report.spreadsheet import frame

        return frame(self)
