"""Reads YAML from strangers: YAML 1.2 scalars, no tags, no duplicate keys, bounded size.

PyYAML only parses; the data are built here from its node graph, so that every value keeps its
place and nothing but mappings, lists and scalars can come into being.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any

import yaml

from harness.errors import UsageError, nearest
from harness.spec.places import Document, Path, Place, Problem, SpecError

MAX_BYTES = 1 << 20
MAX_VALUES = 50_000
MAX_DEPTH = 50
MAX_WHOLE = 2**53  # beyond it, a number that JSON or a float holds may be another one

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# Line breaks in YAML 1.1, which PyYAML folds into spaces, but not in YAML 1.2.
_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


_NO_SPACE = re.compile(r"\s*(?:- )?([A-Za-z_][\w.]*):([^\s/:].*)")


class _Parser(yaml.SafeLoader):
    """PyYAML's parser without its YAML 1.1 guesses about scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


def scalar(text: str) -> Any:
    """The value of an unquoted scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base) if len(text) <= 400 else text
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    return text


def no_space(text: str) -> str:
    """The mend of ``epochs:2``, which YAML takes for one word; empty where ``text`` is none."""
    found = _NO_SPACE.match(text)
    return f"a space is needed after the colon: {found[1]}: {found[2]}" if found else ""


def read_file(file: FilePath, shown: str | None = None) -> Document:
    """Read the spec file ``file``, called ``shown`` in messages.

    Raises:
        UsageError: the file cannot be read. SpecError: it is not an acceptable YAML document.
    """
    name = shown or str(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:  # a ValueError: NUL in the name
        hint = nearest_file(file) if isinstance(problem, FileNotFoundError) else ""
        why = getattr(problem, "strerror", problem)
        raise UsageError(f"{name}: cannot read the spec: {why}{hint}") from None
    if len(content) > MAX_BYTES:
        size = file.stat().st_size
        raise _refused(name, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = content[: problem.start]
        line, column = before.count(b"\n") + 1, problem.start - before.rfind(b"\n")
        what = f"not UTF-8 text: found the byte 0x{content[problem.start]:02x}; save it as UTF-8"
        raise SpecError([Problem(Place(name, line, column), (), what)]) from None
    return read_text(text, name)


def nearest_file(missing: FilePath) -> str:
    """``"; did you mean 'x.yaml'?"`` for a file beside the missing one, or in a folder beside its
    own; or an empty string."""
    home, suffix = missing.parent, missing.suffix or ".yaml"
    with suppress(OSError):
        if home.is_dir():
            return nearest(missing.name, (file.name for file in home.glob(f"*{suffix}")))
        files = home.parent.glob(f"*/{missing.name}")
        return nearest(str(missing), (str(file) for file in files))
    return ""


def read_text(text: str, name: str) -> Document:
    """Read YAML ``text``, called ``name`` in messages. Raises SpecError."""
    if found := _OLD_BREAKS.search(text):
        before = text[: found.start()]
        line, column = before.count("\n") + 1, found.start() - before.rfind("\n")
        what = f"the character U+{ord(found[0]):04X} breaks lines in old YAML only; escape it"
        raise SpecError([Problem(Place(name, line, column), (), what)])
    try:
        node = yaml.compose(text, Loader=_Parser)
    except yaml.MarkedYAMLError as problem:
        raise SpecError([_syntax_problem(problem, text, name)]) from None
    except yaml.reader.ReaderError as problem:
        before = text[: problem.position]
        place = Place(name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        what = f"the character U+{problem.character:04X} is not allowed in YAML"
        raise SpecError([Problem(place, (), what)]) from None
    except (yaml.YAMLError, RecursionError) as problem:
        hint = "nested too deeply" if isinstance(problem, RecursionError) else str(problem)
        raise _refused(name, f"not valid YAML: {' '.join(hint.split())}") from None
    builder = _Builder(name)
    data = builder.build(node, (), ()) if node is not None else None
    builder.values.setdefault((), Place(name, 1, 1))
    if builder.problems:
        raise SpecError(builder.problems)
    return Document(data, builder.keys, builder.values)


def _refused(name: str, message: str) -> SpecError:
    return SpecError([Problem(Place(name, 1, 1), (), message)])


def _syntax_problem(problem: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = problem.problem_mark or problem.context_mark
    line = mark.line if mark else 0
    message = " ".join(filter(None, (problem.context, problem.problem)))
    lines = text.splitlines()
    for number in (line, line - 1):
        indent = re.match(r"[ ]*\t", lines[number]) if 0 <= number < len(lines) else None
        if indent:
            hint = "a tab indents this line; YAML allows only spaces"
            return Problem(Place(name, number + 1, indent.end()), (), hint)
    for number in (line, line - 1):
        if 0 <= number < len(lines) and (key := _NO_SPACE.match(lines[number])):
            return Problem(Place(name, number + 1, key.start(2) + 1), (), no_space(lines[number]))
    place = Place(name, line + 1, mark.column + 1 if mark else 1)
    return Problem(place, (), f"not valid YAML: {message}")


class _Builder:
    """Turns PyYAML's nodes into plain data and gathers places and problems on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.full = False

    def place(self, node: yaml.Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.place(node), path, message))

    def build(self, node: yaml.Node, path: Path, above: tuple[int, ...]) -> Any:
        self.values[path] = self.place(node)
        if not self._acceptable(node, path, above):
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path, (*above, id(node))))
        if isinstance(node, yaml.SequenceNode):
            inside = (*above, id(node))
            return [self.build(n, (*path, i), inside) for i, n in enumerate(node.value)]
        if not node.value.isascii() and any("\ud800" <= c <= "\udfff" for c in node.value):
            self.problem(node, path, "half a surrogate pair; write the character itself")
            return None
        if "\0" in node.value:
            self.problem(node, path, "the character NUL, which no name of a file can hold")
            return None
        quoted = getattr(node, "style", None) in ("'", '"', "|", ">")
        value = node.value if quoted else scalar(node.value)
        if isinstance(value, float) and not math.isfinite(value):
            self.problem(node, path, f"found {node.value}; a finite number is needed")
            return None
        if isinstance(value, int) and abs(value) > MAX_WHOLE:
            what = f"found {node.value:.40}; whole numbers go up to {MAX_WHOLE:,}"
            self.problem(node, path, what)
            return None
        return value

    def _acceptable(self, node: yaml.Node, path: Path, above: tuple[int, ...]) -> bool:
        if self.full:
            return False
        if len(self.values) > MAX_VALUES:
            self.full = True
            self.problem(
                node,
                (),
                f"more than {MAX_VALUES:,} values once aliases are followed; "
                "write the values out or use 'extends'",
            )
            return False
        if id(node) in above or len(above) > MAX_DEPTH:
            self.problem(node, path, f"nested deeper than {MAX_DEPTH} levels, or inside itself")
            return False
        plain = {"str", "map", "seq"}
        if node.tag.removeprefix(_TAG) not in plain:
            shown = node.tag.replace(_TAG, "!!")
            self.problem(node, path, f"the tag {shown} is not allowed; a spec holds plain values")
            return False
        return True

    def _items(
        self, node: yaml.MappingNode, path: Path, inside: tuple[int, ...]
    ) -> Iterator[tuple[str, Any]]:
        first: dict[str, Place] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, path, "a key must be a word, not a list or a mapping")
                continue
            if key_node.tag.removeprefix(_TAG) != "str":
                self.problem(key_node, path, f"the tag {key_node.tag} is not allowed on a key")
                continue
            key = key_node.value
            here = (*path, key)
            if key in first:
                before = first[key].line
                self.problem(
                    key_node, here, f"duplicate key {key!r}; the first one is on line {before}"
                )
                continue
            first[key] = self.keys[here] = self.place(key_node)
            yield key, self.build(value_node, here, inside)
