"""What a run pinned: settings, components, machine, versions, revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from harness.report.numbers import NOTHING
from harness.report.results import Machine, Provenance, Results, Seconds
from harness.report.tables import Table
from harness.spec.blocks import Spec
from harness.spec.origins import counts

TIMES = "Seconds of one unlearning, with what was prepared for it, mean over n."
FIRST = ("name", "set", "label", "title")


def settings_text(spec: Mapping[str, Any]) -> str:
    """Every resolved setting as YAML, in the order in which a spec is written."""
    written = [name for name in Spec.__annotations__ if name in spec]
    ordered = {name: _ordered(spec[name]) for name in dict.fromkeys([*written, *sorted(spec)])}
    return str(yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True))


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        names = [*(name for name in FIRST if name in value), *sorted(value)]
        return {name: _ordered(value[name]) for name in dict.fromkeys(names)}
    return [_ordered(item) for item in value] if isinstance(value, list | tuple) else value


def origins_text(results: Results) -> str:
    """``origin of 57 values: paper 40, ours 17``; empty where the spec does not record it."""
    return counts(results.origins) if results.origins else ""


def origins_table(results: Results) -> Table:
    """Every value of the spec with its origin and the place there."""
    return ["path", "value", "origin", "place"], list(map(list, results.origins))


def components_text(results: Results) -> str:
    """``badnet 1, ssd 2``: the components with the revision of their code."""
    parts = [f"{c.name} {c.revision}" for c in results.components]
    return ", ".join(parts) or "not recorded"


def code_text(results: Results) -> str:
    """The revision of the checkout that ran."""
    git = results.provenance.git
    if git is None:
        return "not run from a git checkout"
    dirty = " with uncommitted changes" if git.dirty else ""
    return f"revision {git.revision}{dirty}"


def hardware_text(results: Results) -> str:
    """Processor, accelerators, devices and threads, as far as they were recorded."""
    run = results.provenance
    machine = run.machine or Machine()
    facts = {
        "processor": machine.cpu,
        "processors": machine.cpus,
        "extensions": ", ".join(machine.extensions),
        "GPU": ", ".join(machine.gpu) or ("none" if run.machine else None),
        "CUDA": machine.cuda,
        "cuDNN": machine.cudnn,
        "driver": machine.driver,
        "computed on": ", ".join(machine.devices) or run.device,
        "threads": " or ".join(map(str, run.threads)),
        "system": machine.system,
    }
    return "; ".join(f"{name}: {value}" for name, value in facts.items() if value) or "not recorded"


def software_text(results: Results) -> str:
    """Versions of Python, of the packages that numbers depend on, and of plug-ins."""
    run = results.provenance
    versions = {**run.versions, **run.plugins}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if run.packages:
        text += f"; all {len(run.packages)} packages that were imported are in results.json"
    if run.constraints:
        text += f"; constraints.txt has the SHA-256 {run.constraints}"
    return text or "not recorded"


def cost_table(results: Results) -> Table:
    """How many stages of each kind the plan has, and the most memory that one of them took."""
    stages = results.stages
    plain = {k: v if isinstance(v, Mapping) else {"total": v} for k, v in stages.items()}
    columns = list(dict.fromkeys(["total", *(name for v in plain.values() for name in v)]))
    order = ("corrupt", "train", "prepare", "unlearn", "evaluate")
    kinds = [*(kind for kind in order if kind in plain), *(k for k in plain if k not in order)]
    rows = [[kind, *(str(plain[kind].get(column, "")) for column in columns)] for kind in kinds]
    known = results.provenance.resources
    peaks = [_peaks(known.get(kind, {})) for kind in kinds]
    for title in dict.fromkeys(title for found in peaks for title in found):
        columns.append(title)
        rows = [[*row, found.get(title, NOTHING)] for row, found in zip(rows, peaks, strict=True)]
    return ["stage", *columns], rows


def _peaks(took: Mapping[str, float]) -> dict[str, str]:
    titles = {"memory": "peak memory", "gpu_memory": "peak GPU memory"}
    shown = {titles[n]: f"{took[n] / 1e6:,.0f} MB" for n in titles if n in took}
    return {**shown, **({"GPU busy": f"{took['gpu_use']:.0%}"} if "gpu_use" in took else {})}


def time_table(results: Results) -> Table:
    """What one unlearning took, where it was measured."""
    times = results.provenance.times
    order = [label for label in results.order.methods if label in times]
    rows = []
    for label in dict.fromkeys([*order, *sorted(times)]):
        took = times[label]
        seconds = map(_seconds, (took.wall, took.cpu, took.gpu))
        rows.append([label, *seconds, NOTHING if took.n is None else str(took.n)])
    return ["method", "wall", "CPU", "GPU", "n"], rows


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}"


def _computed(took: Seconds) -> str | None:
    """The time of all stages, whenever they were computed."""
    named = {"on the wall": took.wall, "of processors": took.cpu, "of accelerators": took.gpu}
    parts = [f"{value:,.0f} s {name}" for name, value in named.items() if value is not None]
    return ", ".join(parts) or None


def _sources_text(run: Provenance) -> str | None:
    """Where this run's stages came from, where it was recorded."""
    if run.stages is None:
        return None
    parts = [f"{run.stages.computed:,} computed by this run"]
    repos = Counter(run.stages.fetched_from.values())
    parts += [f"{count:,} from the Hub ({repo})" for repo, count in sorted(repos.items())]
    return ", ".join([*parts, "the others from the store"])


def _wall(run: Provenance) -> str | None:
    """How long the run took, and whether it was only the writing of the report."""
    if run.seconds is None:
        return None
    stages = run.stages
    only = stages is not None and not stages.computed and not stages.fetched_from
    return f"{run.seconds:,} s" + (", of the report alone: every stage was stored" * only)


def provenance_table(results: Results) -> Table:
    """When, where and with what the run was made."""
    run = results.provenance
    facts = {
        "started": run.started,
        "finished": run.finished,
        "wall time": _wall(run),
        "all stages together": _computed(run.computed or Seconds()),
        "machine": hardware_text(results),
        "software": software_text(results),
        "code": code_text(results),
        "stages": _sources_text(run),
        "components (revision)": components_text(results),
        "repeats": results.spec["deterministic"],
    }
    return ["what", "value"], [[name, str(value)] for name, value in facts.items() if value]
