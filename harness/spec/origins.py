"""Where every value of a spec comes from: what its ``provenance`` says, and what a run changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args, get_type_hints

from attrs import evolve, frozen

from harness.errors import nearest
from harness.spec.blocks import Origin, Spec
from harness.spec.merge import names_another
from harness.spec.places import Document, Path, Problem
from harness.spec.structure import unstructure
from harness.spec.sweeps import CELL_BLOCKS
from harness.spec.tree import Entries, Names, is_block, named, values_in

SECTIONS = ("seeds", *CELL_BLOCKS, "methods", "metrics")
KINDS: tuple[str, ...] = get_args(get_type_hints(Origin)["from_"])
COMMAND_LINE = "--set"  # what changed a value, where no profile did

Row = tuple[str, Any, str, str]
Rule = tuple[Names, str | None, Origin]
Latest = dict[tuple[Names, str | None], Origin]


@frozen
class Trail:
    """What is known of the origin of values.

    ``entries`` are those of the spec and of what it extends; ``rules`` are what an entry covers,
    what it speaks of (None: the values as first written) and the entry; ``changes`` are the values
    that an extending file, a profile or the command line changed, and which did last.
    """

    entries: tuple[Origin, ...]
    rules: tuple[Rule, ...]
    changes: Mapping[Names, str]


def begin(spec: Spec) -> Trail:
    """The origins of a spec as it is written, without a profile."""
    return Trail(spec.provenance, _rules(spec, spec.provenance, None, None), {})


def extend(trail: Trail, before: Spec, after: Spec, file: str, own: Sequence[Origin]) -> Trail:
    """``trail`` after ``file``, whose own entries are ``own``, made ``after`` of ``before``."""
    rules = _rules(after, own, None, file)
    return _later(evolve(trail, entries=(*trail.entries, *own)), before, after, file, rules)


def follow(trail: Trail, before: Spec, after: Spec, profile: str | None) -> Trail:
    """``trail`` after ``profile``, or the command line (None), made ``after`` of ``before``."""
    if profile is None:
        return _later(trail, before, after, COMMAND_LINE, ())
    by = f"profile {profile}"
    return _later(trail, before, after, by, _rules(after, trail.entries, profile, by))


def origins(spec: Spec, trail: Trail) -> list[Row]:
    """Path, value, origin and place of every value, in the order of the spec.

    The origin is empty where the spec does not record one.
    """
    rules = _latest(trail)
    return [
        (".".join(path), value, *_origin(path, trail, rules))
        for path, value in values_in(_tree(spec))
    ]


def wrong_entries(spec: Spec, document: Document, profile: str | None) -> Iterator[Problem]:
    """What the entries for ``profile``, or those for none, name that does not exist.

    Args:
        spec: with that profile applied, and no other.
    """
    tree = _tree(spec)
    for i, entry in enumerate(spec.provenance):
        here: Path = ("provenance", i)
        if document.place(here).file != document.place(()).file:
            continue  # of a file that this one extends, where it is checked
        if profile is None and entry.profile not in (None, *spec.profiles):
            known = ", ".join(spec.profiles) or "none"
            hint = nearest(entry.profile or "", spec.profiles)
            what = f"no profile {entry.profile!r}{hint} (profiles: {known})"
            yield document.problem((*here, "profile"), what)
        if entry.profile != profile:
            continue
        if not entry.of:
            yield document.problem((*here, "of"), "an empty list; at least one path is needed")
        for j, path in enumerate(entry.of):
            try:
                _resolve(tree, path)
            except LookupError as missing:
                yield document.problem((*here, "of", j), missing.args[0])


def uncovered(spec: Spec, document: Document, trail: Trail) -> Iterator[Problem]:
    """The values of which no entry says where they come from; one problem for a whole block."""
    if not spec.provenance:
        return
    tree, rules = _tree(spec), _latest(trail)
    covered = {path for path, _ in values_in(tree) if any(_origin(path, trail, rules))}
    for section, node in tree.items():
        yield from _gaps(node, (section,), (section,), covered, document)


def written(rows: Iterable[Row]) -> list[list[str]]:
    """The rows with every value as text."""
    return [
        [path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), *place]
        for path, value, *place in rows
    ]


def counts(rows: Sequence[Sequence[Any]]) -> str:
    """How many values come from where: ``origin of 57 values: paper 40, ours 17``."""
    found = Counter(row[2] for row in rows)
    known = [f"{kind} {found[kind]}" for kind in KINDS if found[kind]]
    known += [f"not recorded {found['']}"] if found[""] else []
    return f"origin of {len(rows)} values: {', '.join(known)}"


def _tree(spec: Spec) -> dict[str, Any]:
    plain = unstructure(spec)
    return {section: named(plain[section]) for section in SECTIONS if plain[section] is not None}


def _changed(before: Any, after: Any, path: Names = ()) -> Iterator[Names]:
    if is_block(before) and is_block(after) and not names_another(before, after):
        for key, inner in after.items():
            yield from _changed(before.get(key, ...), inner, (*path, key))
    elif before != after:
        yield from (changed for changed, _ in values_in(after, path))


def _later(trail: Trail, before: Spec, after: Spec, by: str, rules: tuple[Rule, ...]) -> Trail:
    changes = dict.fromkeys(_changed(_tree(before), _tree(after)), by)
    return Trail(trail.entries, (*trail.rules, *rules), {**trail.changes, **changes})


def _rules(
    spec: Spec, entries: Iterable[Origin], profile: str | None, by: str | None
) -> tuple[Rule, ...]:
    tree, found = _tree(spec), []
    for entry in entries:
        for path in entry.of if entry.profile == profile else ():
            with suppress(LookupError):  # an extending file or another profile took it away
                found.append((_resolve(tree, path), by, entry))
    return tuple(found)


def _latest(trail: Trail) -> Latest:
    """The last entry for each path and what it speaks of; for a path and None, the last of all."""
    found: Latest = {}
    for names, of, entry in trail.rules:
        found[names, of] = found[names, None] = entry
    return found


def _origin(path: Names, trail: Trail, rules: Latest) -> tuple[str, str]:
    by = trail.changes.get(path)
    for length in range(len(path), -1, -1):
        if entry := rules.get((path[:length], by)):
            return entry.from_, entry.where
    return ("", "") if by is None else ("ours", f"changed by {by}")


def _resolve(tree: Any, path: str) -> Names:
    """The path of names that ``path`` stands for. Raises LookupError with what is wrong."""
    node: Any = tree
    names: Names = ()
    for part in path.split("."):
        if not is_block(node):
            raise LookupError(f"{path!r} does not exist: {'.'.join(names)!r} is one value")
        if part not in node and isinstance(node, Entries) and part in map(str, range(len(node))):
            part = list(node)[int(part)]
        if part not in node:
            place = f"in {'.'.join(names)!r}" if names else "among what has an origin"
            known = f"{nearest(part, node)} (allowed: {', '.join(node)})"
            raise LookupError(f"{path!r} does not exist: no {part!r} {place}{known}")
        node, names = node[part], (*names, part)
    return names


def _gaps(
    node: Any, names: Names, path: Path, covered: set[Names], document: Document
) -> Iterator[Problem]:
    inside = [value for value, _ in values_in(node, names)]
    if covered.isdisjoint(inside):
        what = "its value comes" if inside == [names] else f"its {len(inside)} values come"
        hint = f"{{from: ..., of: [{'.'.join(names)}]}} (from: {', '.join(KINDS)})"
        yield document.problem(path, f"no entry of provenance says where {what} from; add {hint}")
    elif is_block(node):
        for i, (name, inner) in enumerate(node.items()):
            key = i if isinstance(node, Entries) else name
            yield from _gaps(inner, (*names, name), (*path, key), covered, document)
