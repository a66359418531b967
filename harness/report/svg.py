"""What all figures share: their look, and small SVG text that is equal for equal figures.

A figure is as wide as a narrow screen (403 CSS pixels), so that its text is never scaled down.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from harness.report.results import MetricFacts, Results

WIDE = 4.2  # inches
TEXT = 8.5  # points, of which a CSS pixel is 3 / 4
# Okabe and Ito's colours without their yellow, which white paper swallows, and a grey.
COLOURS = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#777777",
)
MARKERS = "osD^vP*X"
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "harness",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": TEXT,
}
# What matplotlib writes and nobody needs, and numbers that are finer than any screen.
_NEEDLESS = re.compile(
    r' id="[A-Za-z]+[\w.]*_\d+"| transform="rotate\(-0 [^)]*\)"| style="text-anchor: start"'
    r"|font-(?:size: 8\.5px|family: [^;]*); |; stroke-linecap: \w+|stroke-dashoffset: 0; "
    r"|\s+(?=[MLCQz] |z|\")|(?<=[ MLCQz][MLCQ]) |(?<=[\dz]) (?=\")|(?<=[:;]) "
)
_LONG = re.compile(r"-?\d+\.\d{2,}")
_ALONE = re.compile(r"<g>\n(<(?:text|path)[^\n]*)\n</g>")
_MARKS = re.compile(
    r'<g( clip-path="[^"]*")?>\n(<use [^>]*( style="[^"]*")/>\n(?:<use [^>]*\3/>\n)*)</g>'
)


def svg(draw: Callable[[Any], None], size: tuple[float, float], title: str, words: str = "") -> str:
    """The SVG element of a figure of ``size`` inches; ``title`` and ``words``, which say what is
    drawn how, are for readers who cannot see."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", stream.getvalue().decode(), flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", _small, re.sub(r"\n\s*", "\n", text)).replace("<g/>\n", "")
    text = _MARKS.sub(lambda g: f"<g{g[1] or ''}{g[3]}>\n{g[2].replace(g[3], '')}</g>", text)
    text = _ALONE.sub(r"\1", _ALONE.sub(r"\1", text))
    start = text.index("<svg")
    end = text.index(">", start)
    about = f"<title>{escape(title)}</title><desc>{escape(words)}</desc>"
    font = f'role="img" font-family="sans-serif" font-size="{TEXT}px"'
    return f"{text[start:end]} {font}>{about}{text[end + 1 :]}"


def _small(tag: re.Match[str]) -> str:
    """A tag without what nobody needs, with numbers of one decimal."""
    needed = _NEEDLESS.sub("", tag[0])
    return _LONG.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), needed)


def look(label: str, among: Sequence[str]) -> dict[str, Any]:
    """Marker, colour and dashes of one of a few, so that each of them alone tells it apart."""
    at = list(among).index(label)
    kinds = {"marker": MARKERS, "colour": COLOURS, "dash": DASHES}
    return {name: choice[at % len(choice)] for name, choice in kinds.items()}


def label_points(axes: Any, points: Sequence[tuple[str, float, float, Any]], height: float) -> None:
    """Write labels (text, x, y, colour) right of ``axes``, each joined to its point.

    They keep apart on ``axes`` that are about ``height`` inches high.
    """
    low, high = axes.get_ylim()
    gap = 1.15 * TEXT / 72 / height
    points = sorted(points, key=lambda point: point[2])
    places = [(point[2] - low) / (high - low) for point in points]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    top = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], top)
        top = places[i] - gap
    for (text, x, y, colour), place in zip(points, places, strict=True):
        axes.annotate(
            literal(text),
            (x, y),
            (1.04, place),
            textcoords="axes fraction",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def literal(text: str) -> str:
    """``text`` without matplotlib's mathematics."""
    return text.replace("$", r"\$")


def metric_label(results: Results, metric: str) -> str:
    """The name of a metric for an axis, with the direction that is better."""
    better = results.metrics.get(metric, MetricFacts()).better
    hint = f" ({better} is better)" if better != "none" else ""
    return metric.replace("_", " ") + hint
