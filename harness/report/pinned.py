"""What a run pinned: settings, components, machine, versions, revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from harness.report.numbers import NOTHING
from harness.report.tables import Table
from harness.spec.blocks import Spec
from harness.spec.origins import counts

TIMES = "Seconds of one unlearning, with what was prepared for it, mean over n."
FIRST = ("name", "set", "label", "title")


def settings_text(results: Mapping[str, Any]) -> str:
    """Every resolved setting as YAML, in the order in which a spec is written."""
    spec = results["spec"]
    written = [name for name in Spec.__annotations__ if name in spec]
    ordered = {name: _ordered(spec[name]) for name in dict.fromkeys([*written, *sorted(spec)])}
    return str(yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True))


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        names = [*(name for name in FIRST if name in value), *sorted(value)]
        return {name: _ordered(value[name]) for name in dict.fromkeys(names)}
    return [_ordered(item) for item in value] if isinstance(value, list | tuple) else value


def origins_text(results: Mapping[str, Any]) -> str:
    """``origin of 57 values: paper 40, ours 17``; empty where the spec does not record it."""
    rows = results.get("origins")
    return counts(rows) if rows else ""


def origins_table(results: Mapping[str, Any]) -> Table:
    """Every value of the spec with its origin and the place there."""
    return ["path", "value", "origin", "place"], results["origins"]


def components_text(results: Mapping[str, Any]) -> str:
    """``badnet 1, ssd 2``: the components with the revision of their code."""
    parts = [f"{c['name']} {c['revision']}" for c in results["components"]]
    return ", ".join(parts) or "not recorded"


def code_text(results: Mapping[str, Any]) -> str:
    """The revision of the checkout that ran."""
    git = results["provenance"].get("git")
    if not git:
        return "not run from a git checkout"
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    return f"revision {git.get('revision', 'unknown')}{dirty}"


def hardware_text(results: Mapping[str, Any]) -> str:
    """Processor, accelerators, devices and threads, as far as they were recorded."""
    run = results["provenance"]
    machine = run.get("machine") or {}
    devices = machine.get("devices") or [run.get("device")]
    facts = {
        "processor": machine.get("cpu"),
        "processors": machine.get("cpus"),
        "GPU": ", ".join(machine.get("gpu") or ()) or ("none" if machine else None),
        "CUDA": machine.get("cuda"),
        "cuDNN": machine.get("cudnn"),
        "driver": machine.get("driver"),
        "computed on": ", ".join(filter(None, devices)),
        "threads": " or ".join(map(str, run.get("threads") or ())),
        "system": machine.get("system"),
    }
    return "; ".join(f"{name}: {value}" for name, value in facts.items() if value) or "not recorded"


def software_text(results: Mapping[str, Any]) -> str:
    """Versions of Python, of the packages that numbers depend on, and of plug-ins."""
    run = results["provenance"]
    versions = {**run.get("versions", {}), **run.get("plugins", {})}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if run.get("packages"):
        text += f"; all {len(run['packages'])} packages that were imported are in results.json"
    if run.get("constraints"):
        text += f"; constraints.txt has the SHA-256 {run['constraints']}"
    return text or "not recorded"


def cost_table(results: Mapping[str, Any]) -> Table:
    """How many stages of each kind the plan has."""
    stages = results["stages"]
    plain = {k: v if isinstance(v, Mapping) else {"total": v} for k, v in stages.items()}
    columns = list(dict.fromkeys(["total", *(name for v in plain.values() for name in v)]))
    order = ("corrupt", "train", "prepare", "unlearn", "evaluate")
    kinds = [*(kind for kind in order if kind in plain), *(k for k in plain if k not in order)]
    rows = [[kind, *(str(plain[kind].get(column, "")) for column in columns)] for kind in kinds]
    return ["stage", *columns], rows


def time_table(results: Mapping[str, Any]) -> Table:
    """What one unlearning took, where it was measured."""
    times = results["provenance"].get("times") or {}
    order = [label for label in results["order"]["methods"] if label in times]
    rows = []
    for label in dict.fromkeys([*order, *sorted(times)]):
        took = times[label]
        seconds = [_seconds(took.get(name)) for name in ("wall", "cpu", "gpu")]
        rows.append([label, *seconds, str(took.get("n", NOTHING))])
    return ["method", "wall", "CPU", "GPU", "n"], rows


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}"


def _computed(seconds: Mapping[str, float]) -> str | None:
    """The time of all stages, whenever they were computed."""
    names = {"wall": "on the wall", "cpu": "of processors", "gpu": "of accelerators"}
    parts = [f"{seconds[key]:,.0f} s {name}" for key, name in names.items() if key in seconds]
    return ", ".join(parts) or None


def _origins_text(run: Mapping[str, Any]) -> str | None:
    """Where this run's stages came from, where it was recorded."""
    if "stages" not in run:
        return None
    parts = [f"{run['stages']['computed']:,} computed by this run"]
    repos = Counter(run["stages"]["hub"].values())
    parts += [f"{count:,} from the Hub ({repo})" for repo, count in sorted(repos.items())]
    return ", ".join([*parts, "the others from the store"])


def _wall(run: Mapping[str, Any]) -> str | None:
    """How long the run took, and whether it was only the writing of the report."""
    if run.get("seconds") is None:
        return None
    stages = run.get("stages")
    only = stages is not None and not stages["computed"] and not stages["hub"]
    return f"{run['seconds']:,} s" + (", of the report alone: every stage was stored" * only)


def provenance_table(results: Mapping[str, Any]) -> Table:
    """When, where and with what the run was made."""
    run = results["provenance"]
    facts = {
        "started": run.get("started"),
        "finished": run.get("finished"),
        "wall time": _wall(run),
        "all stages together": _computed(run.get("computed") or {}),
        "machine": hardware_text(results),
        "software": software_text(results),
        "code": code_text(results),
        "stages": _origins_text(run),
        "components (revision)": components_text(results),
        "repeats": results["spec"]["deterministic"],
    }
    return ["what", "value"], [[name, str(value)] for name, value in facts.items() if value]
