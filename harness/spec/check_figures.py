"""Whether the figures of a spec name what it runs and measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import nearest
from harness.spec.blocks import Figure, Spec
from harness.spec.measures import measured, not_measured
from harness.spec.places import Document, Path, Problem
from harness.spec.structure import unstructure_settings
from harness.spec.sweeps import axis_names, cell_blocks

OF_ONE_METHOD = ("sweep", "trajectory")
WITHOUT_X = ("methods", "table")
OF_SERIES = ("trajectory", "histogram", "heatmap", "landscape")


def check_figures(spec: Spec, document: Document) -> Iterator[Problem]:
    """Every name in a figure that nothing has, and every shape that lacks something."""
    labels = [method.label for method in spec.methods]
    for i, figure in enumerate(spec.figures):
        path: Path = ("figures", i)
        yield from _check_shape(figure, path, document)
        for key, label in [("method", figure.method), *(("methods", m) for m in figure.methods)]:
            if label is not None and label not in labels:
                what = f"the method {label!r} does not run{nearest(label, labels)}"
                yield document.problem((*path, key), f"{what} (it runs: {', '.join(labels)})")
        yield from _check_drawn(spec, figure, path, document)


def _check_shape(figure: Figure, path: Path, document: Document) -> Iterator[Problem]:
    of_one = figure.show in OF_ONE_METHOD
    one, other = ("method", "methods") if of_one else ("methods", "method")
    if getattr(figure, other):
        yield document.problem((*path, other), f"{figure.show!r} takes {one!r}, not {other!r}")
    if of_one and figure.method is None:
        yield document.problem(path, f"{figure.show!r} needs 'method', the label of a method")
    if bool(figure.x) is (figure.show in WITHOUT_X):
        yield document.problem(path, f"{figure.show!r} {'has no' if figure.x else 'needs an'} 'x'")
    if not figure.y:
        yield document.problem((*path, "y"), "an empty list; at least one name is needed")
    if figure.show == "curves" and figure.panels == figure.x:
        yield document.problem((*path, "panels"), f"{figure.x!r} is the x axis already")


def _check_drawn(spec: Spec, figure: Figure, path: Path, document: Document) -> Iterator[Problem]:
    """Names of axes, metrics and settings; those of series are known only when a method runs.

    A profile may set what the spec sweeps, so any field of the cells can be an axis.
    """
    axes = axis_names(spec)
    fields = {
        name
        for inner in _scalars(cell_blocks(spec))
        for name in (str(inner[-1]), ".".join(map(str, inner)))
    }
    asked = [("panels", figure.panels)] if figure.panels is not None else []
    asked += [("x", figure.x)] if figure.show == "curves" else []
    for key, axis in asked:
        if axis not in axes and axis not in fields:
            what = f"{axis!r} is not swept{nearest(axis, axes)}"
            yield document.problem((*path, key), f"{what} (axes: {', '.join(sorted(axes))})")
    names = measured(spec.metrics)
    drawn = [("y", name) for name in figure.y if figure.show not in OF_SERIES]
    for key, name in [*drawn, *([("x", figure.x)] if figure.show == "scatter" else [])]:
        if name not in names:
            yield document.problem((*path, key), not_measured(name, names))
    for method in spec.methods:
        if figure.show == "sweep" and method.label == figure.method:
            settings = [
                ".".join(map(str, inner))
                for inner in _scalars(unstructure_settings(method.use.settings))
            ]
            if figure.x not in settings:
                what = f"{method.label!r} has no setting {figure.x!r}{nearest(figure.x, settings)}"
                known = ", ".join(sorted(settings)) or "none"
                yield document.problem((*path, "x"), f"{what} (settings: {known})")


def _scalars(data: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every scalar in ``data``, swept or not."""
    if isinstance(data, Mapping) and "sweep" not in data:
        for key, value in data.items():
            yield from _scalars(value, (*path, key))
    elif isinstance(data, list):
        for position, value in enumerate(data):
            yield from _scalars(value, (*path, position))
    else:
        yield path
