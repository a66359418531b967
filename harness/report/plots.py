"""Plots as SVG text, equal for equal results."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from harness.report.tables import axes_of

# Okabe and Ito's colours, told apart with any common colour vision.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6BB1",
    "#999999",
    "#882255",
)
MARKERS = "osD^vP*Xh<>"
PREFERRED = ("attack_success_rate", "clean_accuracy")
MOST_PANELS = 4


def trade_off(results: Mapping[str, Any]) -> str | None:
    """Clean accuracy against attack success for each method, one panel for each value of the last
    axis, or the first two metrics where those are not measured. None when nothing can be shown."""
    metrics = list(results["metrics"])
    x, y = PREFERRED if set(PREFERRED) <= set(metrics) else [*metrics, ""][:2]
    shown = [e for e in results["summary"] if x in e["metrics"] and y in e["metrics"]]
    if not shown:
        return None
    axis = axes_of(results)[-1] if axes_of(results) else None
    values = list(dict.fromkeys(e["cell"][axis] for e in shown)) if axis else [None]
    return _draw(results, shown, x, y, axis, values[:MOST_PANELS])


def _draw(
    results: Mapping[str, Any],
    shown: list[Any],
    x: str,
    y: str,
    axis: str | None,
    values: list[Any],
) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {"svg.hashsalt": "harness", "svg.fonttype": "path", "font.size": 9}
    with rc_context(style):
        figure = Figure(figsize=(3.4 * len(values) + 1.9, 3.3), layout="constrained")
        panels = figure.subplots(1, len(values), sharex=True, sharey=True, squeeze=False)[0]
        for panel, value in zip(panels, values, strict=True):
            _panel(
                panel, results, [e for e in shown if axis is None or e["cell"][axis] == value], x, y
            )
            panel.set_title("" if axis is None else f"{axis} = {value}")
        panels[0].set_ylabel(y.replace("_", " "))
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue().decode()
    return text[text.index("<svg") :]


def _panel(panel: Any, results: Mapping[str, Any], entries: list[Any], x: str, y: str) -> None:
    labels = list(results["methods"])
    for label in labels:
        at = labels.index(label)
        of = [e for e in entries if e["method"] == label]
        panel.errorbar(
            [e["metrics"][x]["mean"] for e in of],
            [e["metrics"][y]["mean"] for e in of],
            xerr=[e["metrics"][x]["std"] or 0 for e in of],
            yerr=[e["metrics"][y]["std"] or 0 for e in of],
            fmt=MARKERS[at % len(MARKERS)],
            color=COLOURS[at % len(COLOURS)],
            markersize=7,
            capsize=2,
            alpha=0.85,
            label=label,
        )
    panel.set_xlabel(x.replace("_", " "))
    panel.set_xlim(-0.06, 1.06)
    panel.grid(alpha=0.25)
