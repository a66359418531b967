"""A part of the report that has a title, sentences, a drawing and tables, whichever it has."""

from __future__ import annotations

from attrs import frozen

from harness.report.tables import Table


@frozen
class Section:
    """``drawing`` is SVG of our own; ``tables`` are captions with their tables."""

    title: str
    notes: tuple[str, ...] = ()
    drawing: str | None = None
    tables: tuple[tuple[str, Table], ...] = ()
