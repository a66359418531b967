"""Texts with labels from parquet, CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.errors import HarnessError

ENDINGS = (".parquet", ".csv", ".jsonl")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")

Row = tuple[str, Any, Any]  # its place, the text and the label as they stand there


@frozen
class Texts:
    """Texts, each with its label and where it stands."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    places: tuple[str, ...]


def find(folder: Path, part: str) -> list[Path]:
    """``PART.*`` and ``PART-*`` in ``folder`` or its ``data`` folder, in order.

    Raises:
        HarnessError: they are of several kinds.
    """
    for place in (folder, folder / "data"):
        files = [
            file
            for file in sorted(place.glob(f"{part}*"))
            if file.suffix in ENDINGS and (file.stem == part or file.stem.startswith(f"{part}-"))
        ]
        if len({file.suffix for file in files}) > 1:
            names = ", ".join(file.name for file in files)
            raise HarnessError(f"{place}: files of one kind are needed for {part}; found {names}")
        if files:
            return files
    return []


def read(files: Sequence[Path], text: str, label: str) -> Texts:
    """The columns ``text`` and ``label`` of ``files``.

    Raises:
        HarnessError: a file is not what its name says or lacks a column, or something is no text
            or no label; the message names the file, the row and the column.
    """
    readers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
    texts, labels, places = [], [], []
    for file in files:
        for place, found, marked in readers[file.suffix](file, text, label):
            if not isinstance(found, str) or not found or found.isspace():
                raise HarnessError(f"{place}, column {text!r}: {_shown(found)} is no text")
            if isinstance(marked, bool) or not isinstance(marked, int | str) or marked == "":
                what = "a label is a whole number or a word"
                raise HarnessError(f"{place}, column {label!r}: {_shown(marked)}; {what}")
            texts.append(found)
            labels.append(str(marked))
            places.append(place)
    return Texts(tuple(texts), tuple(labels), tuple(places))


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else f"{value!r:.60}"


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The different labels in order: as numbers where all are whole numbers, or by their letters.

    Files of all kinds give the same, though CSV knows no numbers.
    """
    found = set(labels)
    if all(_INTEGER.fullmatch(each) for each in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def numbered(texts: Texts, names: Sequence[str], label: str) -> list[int]:
    """The class of each text. Raises HarnessError for a label that is not among ``names``."""
    numbers = {name: number for number, name in enumerate(names)}
    for place, found in zip(texts.places, texts.labels, strict=True):
        if found not in numbers:
            raise HarnessError(
                f"{place}, column {label!r}: no training text has the label {_shown(found)} "
                f"(labels: {', '.join(names[:10])})"
            )
    return [numbers[found] for found in texts.labels]


def _lacks(file: Path, found: Sequence[Any], text: str, label: str) -> HarnessError:
    return HarnessError(
        f"{file}: columns {text} and {label} are needed; found {', '.join(map(str, found))}"
    )


def _parquet(file: Path, text: str, label: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        names = parquet.read_schema(file).names
        if not {text, label} <= set(names):
            raise _lacks(file, names, text, label)
        table = parquet.read_table(file, columns=[text, label])
    except (pyarrow.ArrowException, OSError) as problem:
        raise HarnessError(f"{file}: not a parquet file: {problem}") from None
    rows = zip(table[text].to_pylist(), table[label].to_pylist(), strict=True)
    for number, (found, marked) in enumerate(rows, 1):
        yield f"{file}, row {number}", found, marked


def _csv(file: Path, text: str, label: str) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            names = next(reader, [])
            if not {text, label} <= set(names):
                raise _lacks(file, names, text, label)
            columns = names.index(text), names.index(label)
            for number, row in enumerate(filter(None, reader), 1):
                place = f"{file}:{reader.line_num}, row {number}"
                if len(row) != len(names):
                    raise HarnessError(f"{place}: {len(row)} columns; {len(names)} are needed")
                yield place, row[columns[0]], row[columns[1]]
        except (csv.Error, UnicodeDecodeError) as problem:
            raise HarnessError(f"{file}:{reader.line_num + 1}: no CSV: {problem}") from None


def _json_lines(file: Path, text: str, label: str) -> Iterator[Row]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is none
            except (ValueError, RecursionError) as problem:
                raise HarnessError(f"{file}:{number}: no JSON: {problem}") from None
            if not isinstance(row, dict) or not {text, label} <= set(row):
                found = list(row) if isinstance(row, dict) else [type(row).__name__]
                raise _lacks(Path(f"{file}:{number}"), found, text, label)
            yield f"{file}:{number}", row[text], row[label]
