"""What is known of the components of a plan, for readers of its report."""

from __future__ import annotations

from collections.abc import Mapping

from harness.components import get
from harness.plan.cells import cells_of
from harness.plan.plan import Plan
from harness.report.results import ComponentFacts, MethodFacts, MetricFacts
from harness.spec.blocks import Use
from harness.spec.measures import measured
from harness.spec.structure import unstructure_settings


def metric_facts(plan: Plan) -> dict[str, MetricFacts]:
    """By measured name."""
    return {name: _metric(name, use) for name, use in measured(plan.spec.metrics).items()}


def _metric(name: str, use: Use) -> MetricFacts:
    component = get("metrics", use.name)
    traits = component.traits
    reads = {s.partition(":")[0] for s in traits.reads(use.settings)} if traits.reads else set()
    return MetricFacts(
        component=use.name,
        better=traits.better_of(name),
        unit=traits.unit_of(name),
        range=traits.range_of(name),
        over=traits.over,
        of_training=bool(reads) and reads <= {"retain", "forget"},
        doc=traits.docs(use.settings).get(name, component.summary),
    )


def method_facts(plan: Plan) -> dict[str, MethodFacts]:
    """By label."""
    facts = {}
    for method in plan.spec.methods:
        component = get("methods", method.use.name)
        facts[method.label] = MethodFacts(
            component=component.name,
            summary=component.summary,
            source=component.source,
            sees=tuple(sorted(component.traits.sees)),
            settings=unstructure_settings(method.use.settings),
        )
    return facts


def component_facts(plan: Plan, edited: Mapping[str, int]) -> tuple[ComponentFacts, ...]:
    """Of every component that the spec names, by kind and name, and of every one that was
    ``edited`` after so many stages had been computed with it."""
    spec = plan.spec
    uses = [*spec.metrics, *(method.use for method in spec.methods)]
    for cell in cells_of(spec):
        data, train = cell.data, cell.train
        uses += [data.dataset, *data.augmentations, cell.corruption, cell.model, cell.forget]
        uses += [train.optimizer, train.schedule, *([train.adversary] if train.adversary else [])]
    found = {(use.kind, use.name): get(use.kind, use.name) for use in uses}
    found |= {(kind, name): get(kind, name) for kind, name in map(str.split, edited)}
    return tuple(
        ComponentFacts(
            kind,
            name,
            component.revision,
            component.source,
            edited=edited.get(f"{kind} {name}", 0),
            unread=not component.built_in and component.digest is None,
        )
        for (kind, name), component in sorted(found.items())
    )
