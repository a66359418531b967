"""Text and tables as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.report.numbers import Best
from harness.report.tables import Table

# Width of the narrowest column of a two-column paper, of a page, and of letters at \footnotesize,
# which may be bold, in points.
COLUMN, PAGE = 219.0, 345.0
NARROW, WIDE, GAP = 2.6, 4.9, 6.0
_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    '"': r"{\char34}",
    "\0": "{}",
    "`": r"\textasciigrave{}",
    "†": r"\dag{}",
    "“": "``",
    "”": "''",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "–": "--",
    "−": "$-$",
}


def latex_plain(text: str) -> str:
    """``text`` on one line, set by LaTeX as it is."""
    one_line = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    apart = re.sub(r"-(?=-)", "-\0", one_line)  # --profile keeps both of its hyphens
    return "".join(_LATEX.get(letter, letter) for letter in apart)


def latex_table(table: Table, lead: int, caption: str) -> str:
    """A floating table that fits a column of a paper; it needs the package booktabs.

    The first ``lead`` columns name the rows. As many of the others as fit stand beside them, and
    the next ones below, after the same names.
    """
    headers, rows = table
    columns = [[header, *(row[i] for row in rows)] for i, header in enumerate(headers)]
    blocks = "\n\\\\[1ex]\n".join(_block(block, lead) for block in _blocks(columns, lead))
    return (
        "\\begin{table}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}\n"
        f"\\caption{{{latex_plain(caption)}}}\n{blocks}\n\\end{{table}}"
    )


def latex_text_table(table: Table, caption: str) -> str:
    """A floating table of sentences, as wide as a page; each column by its longest text."""
    headers, rows = table
    sides = "".join(
        rf"p{{\dimexpr{share:.3f}\linewidth-2\tabcolsep\relax}}"
        for share in _shares(list(zip(headers, *rows, strict=True)))
    )
    breakable = [
        [latex_plain(text).replace(r"\_", r"\_\allowbreak{}") for text in row] for row in rows
    ]
    lines = [" & ".join(row) + r" \\" for row in [[*map(latex_plain, headers)], *breakable]]
    inside = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return (
        "\\begin{table*}\n\\footnotesize\\raggedright\\setlength{\\tabcolsep}{3pt}\n"
        f"\\caption{{{latex_plain(caption)}}}\n"
        f"\\begin{{tabular}}{{@{{}}{sides}@{{}}}}\n{inside}\n\\end{{tabular}}\n\\end{{table*}}"
    )


def _shares(columns: Sequence[tuple[str, ...]]) -> list[float]:
    """Of the width of a page, for columns of sentences: what the longest word needs, and of the
    rest in proportion to the longest text."""
    words = ([word for text in column for word in re.split("[ _]", text)] for column in columns)
    least = [GAP + WIDE * max(map(len, found)) for found in words]
    longest = [min(max(map(len, column)), 60) for column in columns]
    rest = max(0.0, PAGE - sum(least))
    return [
        (own + rest * length / sum(longest)) / PAGE
        for own, length in zip(least, longest, strict=True)
    ]


def _blocks(columns: list[list[str]], lead: int) -> Iterator[list[list[str]]]:
    names, block = columns[:lead], columns[:lead]
    for column in columns[lead:]:
        if len(block) > lead and sum(map(_width, [*block, column])) > COLUMN:
            yield block
            block = names
        block = [*block, column]
    yield block


def _width(column: list[str]) -> float:
    texts = [*column[0].replace(" ", "_").split("_"), *column[1:]]
    return GAP + max(sum(NARROW if c in " .,:;[]|()'ijl" else WIDE for c in t) for t in texts)


def _block(columns: list[list[str]], lead: int) -> str:
    heads = [_stacked(column[0]) for column in columns]
    rows = [list(map(_cell, row)) for row in list(zip(*columns, strict=True))[1:]]
    lines = [" & ".join(line) + r" \\" for line in [heads, *rows]]
    sides = "l" * lead + "r" * (len(columns) - lead)
    inside = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"\\begin{{tabular}}{{@{{}}{sides}@{{}}}}\n{inside}\n\\end{{tabular}}"


def _stacked(header: str) -> str:
    """A long name below itself, one word a line."""
    name, _, arrow = header.partition(" ")
    words = [f"{word}_" for word in name.split("_")]
    words[-1] = f"{words[-1][:-1]} {arrow}".strip()
    stacked = r" \\ ".join(map(latex_plain, words))
    return rf"\shortstack{{{stacked}}}"


def _cell(text: str) -> str:
    shown = latex_plain(text)
    return rf"\textbf{{{shown}}}" if isinstance(text, Best) else shown
