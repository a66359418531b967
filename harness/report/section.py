"""Parts of a report that its two forms show in their own ways."""

from __future__ import annotations

from attrs import frozen

from harness.report.pictures import Images
from harness.report.tables import Table


@frozen
class Section:
    """Sentences, a drawing and tables, whichever there are.

    ``drawing`` is SVG of our own; ``tables`` are captions with their tables.
    """

    title: str
    notes: tuple[str, ...] = ()
    drawing: str | None = None
    tables: tuple[tuple[str, Table], ...] = ()


@frozen
class Drawn:
    """What a report holds beside tables of its own results; ``plot`` is read with its notes."""

    plot: str | None
    figures: tuple[Section, ...]
    triggers: tuple[tuple[str, Images], ...]
    profiles: tuple[Section, ...]
    plot_notes: tuple[str, ...] = ()
