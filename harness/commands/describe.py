"""Explains components and specs from what they declare: ``list``, ``describe``, ``new``."""

from __future__ import annotations

from textwrap import dedent, fill
from typing import Any, get_type_hints

import attrs
import yaml
from tabulate import tabulate

from harness.components import KINDS, Component, load
from harness.errors import UsageError, nearest
from harness.report.notices import protocol_of
from harness.spec.blocks import Spec
from harness.spec.origins import Row, counts, written
from harness.spec.schema import required_settings
from harness.spec.structure import name_key, unstructure, unstructure_settings


def listing(kind: str | None) -> str:
    """The installed components of ``kind``, or of every kind. Raises UsageError."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}{nearest(kind, KINDS)} (kinds: {', '.join(KINDS)})")
    parts = []
    for name in [kind] if kind else KINDS:
        rows = [[c.name, c.revision, c.summary] for c in load(name).values()]
        parts.append(f"{name}\n" + tabulate(rows, headers=["name", "revision", ""]))
    return "\n\n".join(parts)


def description(name: str) -> str:
    """All that is known of the components called ``name``. Raises UsageError."""
    found = [components[name] for kind in KINDS if name in (components := load(kind))]
    if not found:
        known = [component for kind in KINDS for component in load(kind)]
        raise UsageError(f"no component {name!r}{nearest(name, known)}; see 'harness list'")
    return "\n\n".join(_describe(component) for component in found)


def spec_description(spec: Spec, origins: list[Row]) -> str:
    """What a spec is, and every value of it with where it comes from."""
    headers = ["path", "value", "origin", "place"]
    widths = [None, 40, None, 60]
    table = tabulate(written(origins), headers=headers, maxcolwidths=widths, disable_numparse=True)
    parts = [f"{spec.id} {spec.version}", protocol_of(unstructure(spec))]
    return "\n\n".join(filter(None, [*parts, fill(spec.note, 100), table, counts(origins)]))


def _describe(component: Component) -> str:
    doc = dedent("    " + (component.function.__doc__ or "").strip()).strip()
    parts = [f"{component.name} ({component.kind}, revision {component.revision})", doc]
    parts.append(f"Source: {component.source}")
    if sees := component.traits.get("sees"):
        parts.append(f"Sees: {', '.join(sorted(sees))}")
    rows = [_setting_row(component.settings, f) for f in attrs.fields(component.settings)]
    if rows:
        headers = ["setting", "type", "default", "meaning"]
        parts.append(tabulate(rows, headers=headers, maxcolwidths=[None, 28, None, 60]))
    parts.append("Example:\n\n" + _indented(example(component)))
    return "\n\n".join(parts)


def _setting_row(cls: type, field: attrs.Attribute[Any]) -> list[Any]:
    hint = get_type_hints(cls)[field.name]
    name = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
    name = name.replace("typing.", "")
    for sign, bound in zip((">", ">=", "<", "<="), ("gt", "ge", "lt", "le"), strict=True):
        if bound in (bounds := field.metadata.get("bounds", {})):
            name += f" {sign} {bounds[bound]}"
    required = field.default is attrs.NOTHING
    default = "required" if required else _default(cls, field)
    unit = field.metadata.get("unit")
    return [
        field.name,
        name,
        default,
        field.metadata.get("doc", "") + (f" [{unit}]" if unit else ""),
    ]


def _default(cls: type, field: attrs.Attribute[Any]) -> str:
    if "use" in field.metadata:
        return str(field.metadata["written"])
    return str(field.default)


def example(component: Component) -> str:
    """The component as a spec would name it, every setting written out."""
    required = required_settings(component.settings)
    plain = {} if required else unstructure_settings(component.settings())
    lines = {name_key(component.kind): component.name, **dict.fromkeys(required, "..."), **plain}
    text: str = yaml.safe_dump(lines, sort_keys=False, default_flow_style=None, width=90)
    return text


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def new_spec(name: str) -> str:
    """A commented spec that runs as it is, called ``name``."""
    spec_id = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "my-spec"
    return NEW_SPEC.replace("ID", "-".join(filter(None, spec_id.split("-"))), 1)


NEW_SPEC = """\
# yaml-language-server: $schema=schema.json
#
# Completion in editors:  harness schema --write schema.json
# What it costs:   harness plan THIS_FILE
# Run it:          harness run THIS_FILE
# A quick try:     harness run THIS_FILE --profile smoke
# What can stand where: harness list; harness describe ssd
harness: 1                        # version of the spec language
id: ID
version: 0.1.0                    # raise it when the protocol changes
note: what a reader should know first

# paper:                          # the paper whose protocol this is
#   title: ...
#   arxiv: "2406.09173"
#   checklist:
#     pseudocode: {answer: yes, evidence: Algorithm 1}

budget: {cpu_hours: 1}            # the run stops cleanly beyond it
seeds: [0, 1]                     # every cell is repeated for each

data:
  dataset: digits
  validation: 0.1                 # share of the training data held out

corruption: {name: badnet, patch: 2, place: top_left, target_class: 0, share: 0.04}
model: small_cnn

train:
  epochs: 20                      # or steps: 400
  batch_size: 64
  optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5e-4}
  schedule: one_cycle

forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}   # an axis of the tables

methods:
  - none
  - retrain
  - {name: finetune, epochs: 2, lr: 0.01}
  - name: ssd
    alpha: {sweep: [1, 10]}       # candidates, of which select takes one
    select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}

metrics: [clean_accuracy, accuracy_drop, attack_success_rate, unlearned_gain, healed]

# provenance:                     # where every value comes from: paper, code, secondary, ours
#   - {from: paper, of: [train, methods.ssd], where: "section 4, Table 2"}

profiles:
  smoke: {seeds: [0], train.epochs: 2, methods.ssd.alpha: 10}
"""
