"""Where in which file a value of a spec stands, and problems that point there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from harness.errors import HarnessError, cut, short

Path = tuple[str | int, ...]


@frozen(order=True)
class Place:
    """A position in a file (1-based), or an override on the command line (line 0)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@frozen
class Problem:
    """One thing that is wrong: where, and what was found and is allowed."""

    place: Place
    path: Path
    message: str = field(converter=cut)

    def __str__(self) -> str:
        where = f" {short(dotted(self.path))}:" if self.path else ""
        return f"{self.place}:{where} {self.message}"


class SpecError(HarnessError):
    """Everything that is wrong with a spec, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (p.place, str(p.path), p.message))
        super().__init__("\n".join(map(str, self.problems)))


@frozen
class Document:
    """A YAML document as plain data, with the place of every key and value.

    ``base`` is what it extends, and ``notices`` say what it leaves out of that.
    """

    data: Any
    keys: dict[Path, Place] = field(factory=dict)
    values: dict[Path, Place] = field(factory=dict)
    base: Document | None = None
    notices: tuple[str, ...] = ()

    def key_place(self, path: Path) -> Place:
        """Where the key at ``path`` stands, or the nearest enclosing value."""
        return self.keys.get(path) or self.place(path)

    def place(self, path: Path) -> Place:
        """Where the value at ``path`` stands, or the nearest enclosing one."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place("<spec>"))

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem with the value (or the key) at ``path``."""
        return Problem(self.key_place(path) if at_key else self.place(path), path, message)


def dotted(path: Path) -> str:
    """``methods[1].alpha``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
