"""``harness describe``: explains components and specs from what they declare."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, fill
from typing import Any, get_type_hints

import attrs
import click
import yaml
from tabulate import tabulate

from harness.api import Experiment
from harness.api import load as load_spec
from harness.commands.options import PROFILE, SEEDS, SETS, changes
from harness.components import KINDS, Component, load
from harness.errors import UsageError, nearest
from harness.report.notices import protocol_of
from harness.spec.origins import counts, written
from harness.spec.schema import required_settings
from harness.spec.structure import name_key, unstructure, unstructure_settings


@click.command("describe")
@click.argument("name")
@PROFILE
@SETS
@SEEDS
def command(name: str, profile: str | None, sets: tuple[str, ...], seeds: str | None) -> None:
    """Explain the component NAME: what it does, its source, settings and an example.

    Or the spec in the file NAME: every value, and where it comes from.
    """
    if name.endswith(".yaml") or Path(name).is_file():
        click.echo(spec_description(load_spec(name, profile, changes(sets, seeds))))
    elif profile or sets or seeds:
        raise UsageError(f"{name} is no spec (*.yaml): --profile, --set and --seeds are for specs")
    else:
        click.echo(description(name))


def description(name: str) -> str:
    """All that is known of the components called ``name``. Raises UsageError."""
    found = [components[name] for kind in KINDS if name in (components := load(kind))]
    if not found:
        known = [component for kind in KINDS for component in load(kind)]
        raise UsageError(f"no component {name!r}{nearest(name, known)}; see 'harness list'")
    return "\n\n".join(_describe(component) for component in found)


def spec_description(experiment: Experiment) -> str:
    """What a spec is, and every value of it with where it comes from."""
    spec, origins = experiment.spec, experiment.origins
    headers = ["path", "value", "origin", "place"]
    widths = [None, 40, None, 60]
    table = tabulate(written(origins), headers=headers, maxcolwidths=widths, disable_numparse=True)
    parts = [f"{spec.id} {spec.version}", protocol_of(unstructure(spec))]
    return "\n\n".join(filter(None, [*parts, fill(spec.note, 100), table, counts(origins)]))


def _describe(component: Component[Any]) -> str:
    doc = dedent("    " + (component.function.__doc__ or "").strip()).strip()
    parts = [f"{component.name} ({component.kind}, revision {component.revision})", doc]
    parts.append(f"Source: {component.source}")
    if sees := getattr(component.traits, "sees", None):
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
    name = name.replace("typing.", "").replace("harness.spec.blocks.Use", "a component")
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


def example(component: Component[Any]) -> str:
    """The component as a spec would name it, every setting written out."""
    required = required_settings(component.settings)
    plain = {} if required else unstructure_settings(component.settings())
    lines = {name_key(component.kind): component.name, **dict.fromkeys(required, "..."), **plain}
    text: str = yaml.safe_dump(lines, sort_keys=False, default_flow_style=None, width=90)
    return text


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())
