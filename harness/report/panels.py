"""Lines in panels: one row of panels for each metric, and one legend for all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from attrs import frozen

from harness.report.svg import literal, svg

COLUMNS = 6
MOST_PANELS = 12
DECADES = 2


@frozen
class Line:
    """Points that belong together; those at ``filled`` positions have full markers.

    The other points of a ``thin`` line have none.
    """

    label: str
    marker: str
    colour: Any
    x: Sequence[Any]
    y: Sequence[float]
    spread: Sequence[float | None] = ()
    filled: tuple[int, ...] = ()
    thin: bool = False


@frozen
class Panel:
    """One set of axes."""

    title: str
    lines: tuple[Line, ...]


def is_number(value: Any) -> bool:
    """Whether ``value`` has a place on an axis of numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def draw_panels(x_label: str, rows: Sequence[tuple[str, Sequence[Panel]]], title: str) -> str:
    """SVG of ``rows``: the label of the y axis and as many panels in every row.

    Values of x that are not all numbers stand side by side in the order of the lines; numbers that
    span decades are drawn on a logarithmic axis.
    """
    every = [line for _, panels in rows for panel in panels for line in panel.lines]
    names = list(dict.fromkeys(x for line in every for x in line.x))
    numeric = all(map(is_number, names))
    single = all(len(panels) == 1 for _, panels in rows)
    columns = min(COLUMNS, len(rows) if single else len(rows[0][1]))
    grid = list(_grid(rows, columns, single))
    wide = 2.5 if columns > 3 else 3.2
    width = max(wide * columns + 0.3, 4.0)
    legend = _legend(every)
    longest = max((len(line.label) for line in every), default=0)
    across = max(1, min(len(legend), int(width / (0.6 + 0.065 * longest))))
    height = 0.85 * wide * len(grid) + 0.4 + 0.19 * math.ceil(len(legend) / across)

    def draw(figure: Any) -> None:
        share = False if single else "row"
        every_axes = figure.subplots(len(grid), columns, sharex=True, sharey=share, squeeze=False)
        spots = [*chain.from_iterable(grid), *[None] * columns]
        for i, axes in enumerate(every_axes.flat):
            if (spot := spots[i]) is None:
                axes.set_axis_off()
                continue
            axes.set_ylabel(literal(spot[0]))
            axes.tick_params(labelbottom=spots[i + columns] is None)
            _panel(axes, spot[1], None if numeric else names)
        _scale_x(every_axes[0][0], names, numeric)
        figure.supxlabel(literal(x_label), fontsize=9)
        if legend:
            figure.legend(handles=legend, loc="outside upper center", ncols=across)

    return svg(draw, (width, height), title)


def _grid(
    rows: Sequence[tuple[str, Sequence[Panel]]], columns: int, single: bool
) -> Iterator[list[tuple[str, Panel] | None]]:
    """The panels with their labels in rows of ``columns``; a label stands once in a row, unless
    each panel has its own."""
    if single:
        lists = [[(label, panel) for label, [panel] in rows]]
    else:
        lists = [
            [(label if i % columns == 0 else "", panel) for i, panel in enumerate(panels)]
            for label, panels in rows
        ]
    for spots in lists:
        for start in range(0, len(spots), columns):
            row = spots[start : start + columns]
            yield [*row, *[None] * (columns - len(row))]


def _scale_x(axes: Any, names: list[Any], numeric: bool) -> None:
    """A logarithmic axis for numbers that span decades; names side by side, tilted when long."""
    if numeric and _spans_decades(names):
        axes.set_xscale("log")
    elif not numeric:
        texts = [literal(str(name)) for name in names]
        tilt = {"rotation": 30, "ha": "right"} if max(map(len, texts)) > 6 else {}
        axes.set_xticks(range(len(names)), texts, **tilt)


def _spans_decades(values: Iterable[float]) -> bool:
    found = list(values)
    return bool(found) and min(found) > 0 and max(found) / min(found) >= 10**DECADES


def _legend(lines: Iterable[Line]) -> list[Any]:
    """One entry for each label, in the order of the lines."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker=line.marker, color=line.colour, markersize=5, label=literal(label))
        for label, line in {line.label: line for line in lines if line.label}.items()
    ]


def _panel(axes: Any, panel: Panel, names: list[Any] | None) -> None:
    axes.set_title(literal(panel.title), fontsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for line in panel.lines:
        x = [names.index(value) for value in line.x] if names else list(line.x)
        axes.plot(x, line.y, color=line.colour, linewidth=0.7 if line.thin else 1.3)
        marks = {"linestyle": "none", "marker": line.marker, "color": line.colour, "markersize": 5}
        if not line.thin:
            axes.plot(x, line.y, **marks, markerfacecolor="white")
        axes.plot([x[i] for i in line.filled], [line.y[i] for i in line.filled], **marks)
        if any(line.spread):
            low, high = (
                [y + sign * (s or 0) for y, s in zip(line.y, line.spread, strict=True)]
                for sign in (-1, 1)
            )
            axes.fill_between(x, low, high, color=line.colour, alpha=0.13, linewidth=0)
