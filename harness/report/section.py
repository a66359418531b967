"""Parts of a report that its two forms show in their own ways."""

from __future__ import annotations

from attrs import frozen

from harness.report.pictures import Images
from harness.report.tables import Table


@frozen
class Section:
    """Sentences, a drawing, tables and more, whichever there are.

    ``drawing`` is SVG of our own and ``images`` are pictures; ``file`` is where either lies beside
    the report. ``tables`` are captions with their tables, ``code`` is text that is shown as it is,
    and ``parts`` are sections within. What is ``folded`` is seen once a reader opens it.
    """

    title: str
    notes: tuple[str, ...] = ()
    drawing: str | None = None
    tables: tuple[tuple[str, Table], ...] = ()
    file: str = ""
    images: Images = ()
    code: str = ""
    parts: tuple[Section, ...] = ()
    folded: bool = False


@frozen
class Drawn:
    """What a report holds beside tables of its own results; ``plot`` is read with its notes."""

    plot: str | None
    figures: tuple[Section, ...]
    triggers: tuple[tuple[str, Images], ...]
    profiles: tuple[Section, ...]
    plot_notes: tuple[str, ...] = ()
