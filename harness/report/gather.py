"""Gathers results: what a run found of its plan, and what the store has of its stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import attrs
from attrs import frozen

from harness.components import get
from harness.plan.plan import Candidate, Group, Plan
from harness.plan.stage import Stage
from harness.report.assemble import assemble
from harness.report.facts import component_facts, method_facts, metric_facts
from harness.report.learning import MOST_POINTS, learning
from harness.report.record import from_plain
from harness.report.results import (
    DataFacts,
    Failure,
    Provenance,
    ResultRow,
    Results,
    ScoreRow,
    Trigger,
)
from harness.report.times import computed, resources, times_of
from harness.spec.blocks import Use
from harness.spec.origins import Row as ValueOrigin
from harness.spec.origins import written
from harness.spec.structure import unstructure, unstructure_settings
from harness.store import Store

MOST_TRIGGERS = 12  # of which the report shows pictures


@frozen
class Findings:
    """What a run found of its plan.

    ``measured`` are the records of what measures, by key; ``chosen`` the position of the chosen
    candidate by that of the choice; ``failed`` the errors by the key of the stage; ``stopped``
    says for each stage that was not run which failure was the reason.
    """

    measured: Mapping[str, Mapping[str, Any]]
    chosen: Mapping[int, int]
    failed: Mapping[str, str]
    stopped: Mapping[str, str]


def gather(
    plan: Plan,
    store: Store,
    findings: Findings,
    provenance: Provenance,
    *,
    profile: str | None,
    changes: Sequence[str],
    origins: Sequence[ValueOrigin],
) -> Results:
    """The results of ``plan``, run with ``profile`` and ``changes`` of the command line.

    ``origins`` are those of the spec's values; ``provenance`` gets its times here.
    """
    rows = tuple(_rows(plan, store, findings))
    times, (total, edited) = times_of(rows, store), computed(plan, store)
    provenance = attrs.evolve(
        provenance, times=times, computed=total, resources=resources(plan, store)
    )
    return assemble(
        Results(
            rows=rows,
            scores=tuple(_scores(plan, findings)),
            spec=unstructure(plan.spec),
            profile=profile,
            metrics=metric_facts(plan),
            methods=method_facts(plan),
            components=component_facts(plan, edited),
            data=_data(plan, store),
            failed=tuple(_failures(plan, findings)),
            stages=Counter(stage.kind for stage in plan.stages.values()),
            provenance=provenance,
            changes=tuple(changes),
            origins=_texts(origins) if plan.spec.provenance else (),
            triggers=_triggers(plan, store),
            learning=tuple(learning(plan, store, _chosen(plan, findings))),
        )
    )


def _texts(origins: Sequence[ValueOrigin]) -> tuple[tuple[str, str, str, str], ...]:
    return tuple((path, value, origin, place) for path, value, origin, place in written(origins))


def _rows(plan: Plan, store: Store, findings: Findings) -> Iterator[ResultRow]:
    groups = ((i, group) for i, choice in enumerate(plan.choices) for group in choice.groups)
    for i, group in groups:
        for position, candidate in enumerate(group.candidates):
            record = findings.measured.get(candidate.evaluate)
            if record is not None:
                selected = position == findings.chosen.get(i)
                series = _series(candidate.unlearn, record, store) if selected else {}
                row = _row(group, candidate, selected, _metrics(record), series)
                yield attrs.evolve(row, diverged=record.get("diverged", ""))


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """What was measured, with what is no finite number."""
    undefined = {name: float(text) for name, text in record.get("undefined", {}).items()}
    return {**record["metrics"], **undefined}


def _chosen(plan: Plan, findings: Findings) -> dict[str, Group]:
    """The groups of the ``unlearn`` stages that were chosen and measured."""
    return {
        group.candidates[findings.chosen[i]].unlearn: group
        for i, choice in enumerate(plan.choices)
        for group in choice.groups
        if i in findings.chosen
        and group.candidates[findings.chosen[i]].evaluate in findings.measured
    }


def _row(
    group: Group,
    candidate: Candidate,
    selected: bool,
    metrics: Mapping[str, float],
    series: Mapping[str, tuple[float, ...]],
) -> ResultRow:
    return ResultRow(
        cell=dict(group.cell.point),
        seed=group.cell.seed,
        method=group.method.label,
        candidate=dict(candidate.values),
        selected=selected,
        metrics=dict(metrics),
        keys={"unlearn": candidate.unlearn, "evaluate": candidate.evaluate},
        series=series,
    )


def _scores(plan: Plan, findings: Findings) -> Iterator[ScoreRow]:
    for i, choice in enumerate(plan.choices):
        first = choice.groups[0]
        for position, key in enumerate(choice.scores):
            candidate, record = first.candidates[position], findings.measured.get(key)
            if record is not None:
                yield ScoreRow(
                    cell=dict(first.cell.point),
                    seeds={"data": first.cell.seeds.data, "model": first.cell.seeds.model},
                    method=first.method.label,
                    candidate=dict(candidate.values),
                    selected=position == findings.chosen.get(i),
                    metrics={n: v if isfinite(v) else None for n, v in _metrics(record).items()},
                    models=dict(record["models"]),
                    keys={"score": key},
                    series=record.get("series", {}),
                    diverged=record.get("diverged", ""),
                    rejected=record.get("rejected", ""),
                )


def _series(key: str, measured: Mapping[str, Any], store: Store) -> dict[str, tuple[float, ...]]:
    """The lists that a method and its metrics left, thinned to what a figure can show; none of the
    method when its record was lost and could not be computed again."""
    own = store.record("unlearn", key)["series"] if store.has("unlearn", key) else {}
    series: Mapping[str, list[float]] = {**own, **(measured.get("series") or {})}
    return {name: _thinned(values) for name, values in series.items()}


def _thinned(values: list[float]) -> tuple[float, ...]:
    """At most MOST_POINTS of ``values``, the last one always among them."""
    every = max(1, -(-len(values) // (MOST_POINTS - 1)))
    kept = values[::every]
    return tuple(kept if (len(values) - 1) % every == 0 else [*kept, *values[-1:]])


def _corruptions(plan: Plan, store: Store) -> Iterator[Stage]:
    """The ``corrupt`` stages that the store has."""
    for stage in plan.stages.values():
        if stage.kind == "corrupt" and store.has("corrupt", stage.key):
            yield stage


def _data(plan: Plan, store: Store) -> DataFacts:
    for stage in _corruptions(plan, store):
        return from_plain(DataFacts, store.record("corrupt", stage.key)["data"])
    return from_plain(DataFacts, {})


def _triggers(plan: Plan, store: Store) -> tuple[Trigger, ...]:
    """What each corruption of the plan does to some samples, whatever amount is corrupted."""
    found: dict[str, Trigger] = {}
    for stage in _corruptions(plan, store):
        title = _title(stage.cell.corruption)
        if title not in found and len(found) < MOST_TRIGGERS:
            images = store.record("corrupt", stage.key).get("pictures")
            if images:
                found[title] = Trigger(title, tuple(images))
    return tuple(found.values())


def _title(use: Use) -> str:
    """``badnet: patch=3, place=top_left``: every setting but the amount and those left out."""
    amount = get("corruptions", use.name).traits.amount_settings
    shown = [
        f"{name}={_short(value)}"
        for name, value in unstructure_settings(use.settings).items()
        if name not in amount and value is not None
    ]
    return f"{use.name}: {', '.join(shown)}" if shown else use.name


def _short(value: Any) -> str:
    """``sgd(lr=0.1)`` for a component in a setting, ``a + b`` for several, four digits."""
    if isinstance(value, Mapping) and "name" in value:
        own = ", ".join(f"{k}={_short(v)}" for k, v in value.items() if k != "name")
        return f"{value['name']}({own})" if own else str(value["name"])
    if isinstance(value, list | tuple):
        return " + ".join(map(_short, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(float(f"{value:.4g}") if isinstance(value, float) else value)


def _failures(plan: Plan, findings: Findings) -> Iterator[Failure]:
    for key, error in findings.failed.items():
        stopped = (k for k, reason in findings.stopped.items() if reason == key)
        names = tuple(plan.describe(k) for k in stopped)
        yield Failure(stage=plan.describe(key), error=error, stopped=names, key=key)
