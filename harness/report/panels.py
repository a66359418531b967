"""Lines in panels below one another, each line with its label where there is room for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from harness.report.svg import WIDE, label_points, literal, svg

MOST_PANELS = 12
MOST_ABREAST = 9  # panels in one column, with labels at the ends of lines; more stand in two
LONGEST = 24  # letters of a label beside its line
HIGH = {1: 1.6, 2: 1.35}
DECADES = 2
ABREAST = 0.6  # of the way from one name to the next, for the points of all lines


@frozen
class Line:
    """Points that belong together; those at ``filled`` positions have full markers.

    The other points of a ``thin`` line have none. ``bars`` are the low and high ends of what is
    drawn at each point.
    """

    label: str
    marker: str
    colour: Any
    x: Sequence[Any]
    y: Sequence[float]
    dash: str = "-"
    bars: Sequence[tuple[float | None, float | None] | None] = ()
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
    """SVG of ``rows``: the label of the y axis and its panels, which have one scale.

    Values of x that are not all numbers stand side by side in the order of the lines, as points
    that nothing joins: there is nothing between two names. Numbers that span decades are drawn on a
    logarithmic axis.
    """
    every = [line for _, panels in rows for panel in panels for line in panel.lines]
    names = list(dict.fromkeys(x for line in every for x in line.x))
    numeric = all(map(is_number, names))
    labels = list(dict.fromkeys(line.label for line in every if line.label))
    count = sum(len(panels) for _, panels in rows)
    columns = 1 if count <= MOST_ABREAST else 2
    beside = numeric and columns == 1 and max(map(len, labels), default=0) <= LONGEST
    alone = not numeric and len(labels) == 1  # there is nothing to tell apart
    legend = [] if beside or alone else _legend(every, numeric)
    height = HIGH[columns] * math.ceil(count / columns) + 0.4 + 0.17 * len(legend)

    def draw(figure: Any) -> None:
        grid = figure.subplots(math.ceil(count / columns), columns, sharex=True, squeeze=False)
        spots = list(grid.flat)
        for spot in spots[:-columns]:
            spot.tick_params(bottom=False)
        for spot in spots[count:]:
            spot.set_axis_off()
            spots[count - columns].tick_params(labelbottom=True, bottom=True)
        for label, panels in rows:
            abreast, spots = spots[: len(panels)], spots[len(panels) :]
            for axes, panel in zip(abreast, panels, strict=True):
                axes.sharey(abreast[0]) if axes is not abreast[0] else None
                _panel(axes, panel, None if numeric else names)
                axes.set_title(literal(" · ".join(filter(None, (label, panel.title)))))
            for axes, panel in zip(abreast, panels, strict=True):
                if beside:
                    label_points(axes, _ends(panel), HIGH[1] - 0.3)
        _scale_x(grid[0][0], names, numeric)
        figure.supxlabel(literal(x_label), fontsize=9)
        if legend:
            figure.legend(handles=legend, loc="outside upper left", handlelength=3)

    drawn = "Lines" if numeric else "Points"
    return svg(draw, (WIDE, height), title, f"{drawn}: {', '.join(labels)}" if labels else "")


def _places(panel: Panel, names: list[Any] | None) -> list[list[float]]:
    """Where the points of each line stand: at a name, those of all lines side by side."""
    if names is None:
        return [list(line.x) for line in panel.lines]
    count = len(panel.lines)
    aside = [ABREAST * ((i + 0.5) / count - 0.5) for i in range(count)]
    both = zip(panel.lines, aside, strict=True)
    return [[names.index(value) + by for value in line.x] for line, by in both]


def _ends(panel: Panel) -> list[tuple[str, float, float, Any]]:
    return [
        (line.label, line.x[-1], line.y[-1], line.colour)
        for line in panel.lines
        if line.label and line.y
    ]


def _scale_x(axes: Any, names: list[Any], numeric: bool) -> None:
    """A logarithmic axis for numbers that span decades; names side by side, tilted when long."""
    if numeric and _spans_decades(names):
        axes.set_xscale("log")
        axes.minorticks_off()
    elif not numeric:
        texts = [literal(str(name)) for name in names]
        tilt = {"rotation": 30, "ha": "right"} if max(map(len, texts)) > 6 else {}
        axes.set_xticks(range(len(names)), texts, **tilt)


def _spans_decades(values: Iterable[float]) -> bool:
    found = list(values)
    return bool(found) and min(found) > 0 and max(found) / min(found) >= 10**DECADES


def _legend(lines: Iterable[Line], joined: bool) -> list[Any]:
    """One entry for each label, in the order of the lines."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], **{**_look(line), "linestyle": dash}, label=literal(label))
        for label, line in {line.label: line for line in lines if line.label}.items()
        for dash in [line.dash if joined else "none"]
    ]


def _look(line: Line) -> dict[str, Any]:
    return {"marker": line.marker, "color": line.colour, "markersize": 4, "linestyle": "none"}


def _panel(axes: Any, panel: Panel, names: list[Any] | None) -> None:
    axes.grid(axis="y", alpha=0.3, linewidth=0.6, clip_on=False)
    axes.tick_params(left=False)
    axes.set_axisbelow(True)
    for line, x in zip(panel.lines, _places(panel, names), strict=True):
        colour = {"color": line.colour, "clip_on": False}
        if names is None:
            axes.plot(x, line.y, **colour, linewidth=0.8 if line.thin else 1.3, linestyle=line.dash)
        full = set(line.filled)
        for filled in (False, True) if not line.thin else (True,):
            if at := [i for i in range(len(x)) if (i in full) is filled]:
                marks = {**_look(line), "markerfacecolor": line.colour if filled else "white"}
                axes.plot([x[i] for i in at], [line.y[i] for i in at], **marks, clip_on=False)
        bars = [(x[i], *bar) for i, bar in enumerate(line.bars) if bar and None not in bar]
        if bars:
            ends = [(at, end) for at, low, high in bars for end in (low, high, math.nan)]
            axes.plot(*zip(*ends, strict=True), **colour, linewidth=0.6)
