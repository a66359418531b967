"""A table as HTML, whose headers say what they head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from harness.report.numbers import Best

_INTERVAL = re.compile(r" (\[[^\]]*\])")


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """The table, with the first cell of each row as its header. All text is escaped.

    Cells and rows have no end tags, which HTML does not ask for: they are a tenth of a long table.
    """
    about = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = "".join(f'<th scope="col">{_broken(header)}' for header in headers)
    lines = (
        f'<tr><th scope="row">{_shown(first)}' + "".join(f"<td>{_shown(cell)}" for cell in rest)
        for first, *rest in rows
    )
    body = "\n".join(lines)
    return f"<table>{about}<thead><tr>{top}</thead>\n<tbody>{body}</tbody></table>"


def _broken(header: str) -> str:
    """A long name may go on below after an underscore."""
    return escape(header).replace("_", "_<wbr>")


def _shown(text: str) -> str:
    """A cell; the interval beside a number is small."""
    shown = _INTERVAL.sub(r" <small>\1</small>", escape(text))
    return f"<b>{shown}</b>" if isinstance(text, Best) else shown
