"""Documents laid over documents: ``extends``, profiles and ``--set``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from os.path import isfile, realpath
from pathlib import Path as FilePath
from typing import Any

from attrs import evolve

from harness.errors import short
from harness.spec.inherited import over_absent
from harness.spec.places import Document, Path, Place, Problem, SpecError
from harness.spec.reader import nearest_file, read_file, read_text

MAX_EXTENDS = 10


def read_extended(file: FilePath) -> Document:
    """The document in ``file`` merged over all that it extends. Raises SpecError, UsageError."""
    return _read(file, _spec_folder(file), ())


def _spec_folder(file: FilePath) -> FilePath:
    """The outermost ``specs`` folder above ``file``, or else the folder that holds it."""
    home = FilePath(realpath(file)).parent
    folders = [folder for folder in (home, *home.parents) if folder.name == "specs"]
    return folders[-1] if folders else home


def _read(file: FilePath, root: FilePath, above: tuple[FilePath, ...]) -> Document:
    document = read_file(file)
    if not isinstance(document.data, dict):
        found = "an empty file" if document.data is None else "no mapping"
        raise SpecError([document.problem((), f"found {found}; a spec is a mapping of keys")])
    base = document.data.pop("extends", None)
    if base is None:
        return document
    path: Path = ("extends",)
    if not isinstance(base, str):
        raise SpecError([document.problem(path, "found no string; the path of a spec is needed")])
    # Unlike ``resolve``, this lets a loop of links pass, which cannot be opened.
    target, chain = FilePath(realpath(file.parent / base)), (*above, FilePath(realpath(file)))
    # A spec may come from a stranger: it reads nothing outside the folder of specs.
    if not target.is_relative_to(root):
        what = f"{base!r} leaves the spec folder; only specs below {root.name!r} can be extended"
        raise SpecError([document.problem(path, what)])
    if target in chain or len(chain) > MAX_EXTENDS:
        names = " -> ".join(p.name for p in (*chain, target))
        raise SpecError([document.problem(path, f"'extends' loops: {names}")])
    if not isfile(target):  # also False for names that no file can have
        raise SpecError([document.problem(path, f"no such spec: {base!r}{nearest_file(target)}")])
    return _inherit(_read(file.parent / base, root, chain), document)


def _inherit(base: Document, over: Document) -> Document:
    """``over`` laid on ``base`` without what is over methods that ``over`` does not run."""
    own, named = (document.data.get("methods") for document in (over, base))
    absent: list[str] = []
    if isinstance(own, list) and isinstance(named, list):
        runs = set(map(entry_name, own))
        absent = [name for name in map(entry_name, named) if name and name not in runs]
    gone = set(over_absent(base.data, absent)) if absent else set()
    if not gone:
        return evolve(merge(base, over), base=base, notices=base.notices)
    said = (
        f"methods of {FilePath(base.place(()).file).name} do not run: {short(', '.join(absent))}; "
        "claims, figures and overrides of profiles over them are left out"
    )
    merged = merge(without(base, gone), over)
    return evolve(merged, base=base, notices=(*base.notices, said))


def merge(base: Document, over: Document) -> Document:
    """``over`` laid on ``base``: mappings merge key by key, everything else replaces.

    ``null`` takes a key of ``base`` away, as in JSON merge patches (RFC 7396), and
    ``{append: [...]}`` adds to a list.
    """
    keys, values = dict(base.keys), dict(base.values)
    data = _merge((), base.data, over.data, over, keys, values)
    return Document(data, keys, values, base)


def _merge(
    path: Path,
    base: Any,
    over: Any,
    source: Document,
    keys: dict[Path, Place],
    values: dict[Path, Place],
) -> Any:
    if (whole := appended(base, over)) is not None:
        for places, own in ((keys, source.keys), (values, source.values)):
            places.update(_moved(own, (*path, "append"), path, len(base)))
        return whole
    if not (isinstance(base, dict) and isinstance(over, dict)) or names_another(base, over):
        _forget(path, base, keys, values)
        for inner in paths_below(over, path):
            values[inner] = source.place(inner)
            if inner in source.keys:
                keys[inner] = source.keys[inner]
        return over
    # Places follow values, so that a message about a merged spec names the file and line that the
    # wrong value really stands in.
    merged = dict(base)
    values[path] = source.place(path)
    for key, value in over.items():
        here = (*path, key)
        if value is None:
            _forget(here, merged.pop(key, None), keys, values)
            continue
        keys[here] = source.key_place(here)
        merged[key] = _merge(here, base.get(key), value, source, keys, values)
    return merged


def appended(base: Any, over: Any) -> list[Any] | None:
    """The list that ``{append: [...]}`` makes of the list ``base``; None where it is no such."""
    if not (isinstance(base, list) and isinstance(over, dict) and list(over) == ["append"]):
        return None
    return [*base, *over["append"]] if isinstance(over["append"], list) else None


def _moved(places: Mapping[Path, Place], old: Path, new: Path, by: int) -> dict[Path, Place]:
    """The places of what stands in the list at ``old``, as items of ``new`` from ``by`` on."""
    return {
        (*new, by + path[len(old)], *path[len(old) + 1 :]): place  # type: ignore[operator]
        for path, place in places.items()
        if len(path) > len(old) and path[: len(old)] == old
    }


def paths_below(value: Any, path: Path) -> Iterator[Path]:
    """``path``, at which ``value`` stands, and the path of everything in it."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_below(inner, (*path, key))


def _forget(path: Path, value: Any, *several: dict[Path, Place]) -> None:
    """Drop the places of ``path``, at which ``value`` stood, and of everything below it."""
    for old in paths_below(value, path):
        for places in several:
            places.pop(old, None)


def names_another(base: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    """Whether ``over`` names another component, whose settings are its own.

    Merged into it, the settings of the component before would be unknown keys, or worse, settings
    of the same name that mean something else.
    """
    return any(key in over and key in base and over[key] != base[key] for key in ("name", "set"))


def override(document: Document, path: str, value: Any, places: Document, at: Path) -> Document:
    """``document`` with the value at the dotted ``path`` replaced.

    ``places`` and ``at`` say where the new value stands. A part of the path is a key, a position in
    a list, or the label or name of a component in a list. None takes a key or the item of a list
    away, ``{append: [...]}`` adds to a list. Raises SpecError.
    """
    full, existing = _locate(document.data, path, places, at)
    if value is None:
        return without(document, {full})
    if (whole := appended(existing, value)) is not None:
        inside: Path = (*at, "append")
        return Document(
            _replace(document.data, full, whole),
            {**document.keys, **_moved(places.keys, inside, full, len(existing))},
            {**document.values, **_moved(places.values, inside, full, len(existing))},
        )
    values = {
        full + p[len(at) :]: place for p, place in places.values.items() if p[: len(at)] == at
    }
    # Blocks that the path creates on its way have no place of their own: they get the override's.
    created = [full[:n] for n in range(1, len(full)) if full[:n] not in document.values]
    keys = dict.fromkeys([*created, full], places.key_place(at))
    data = _replace(document.data, full, value)
    kept_keys = {p: v for p, v in document.keys.items() if p[: len(full)] != full}
    kept_values = {p: v for p, v in document.values.items() if p[: len(full)] != full}
    inner = {
        full + p[len(at) :]: v for p, v in places.keys.items() if p[: len(at)] == at and p != at
    }
    return Document(data, {**kept_keys, **keys, **inner}, {**kept_values, **values})


def without(document: Document, gone: Collection[Path]) -> Document:
    """``document`` without the keys and items at ``gone``; the places of later items follow."""
    keys: dict[Path, Place] = {}
    values: dict[Path, Place] = {}

    def kept(data: Any, old: Path, new: Path) -> Any:
        for places, found in ((document.keys, keys), (document.values, values)):
            if old in places:
                found[new] = places[old]
        if isinstance(data, dict):
            left = [key for key in data if (*old, key) not in gone]
            return {key: kept(data[key], (*old, key), (*new, key)) for key in left}
        if isinstance(data, list):
            items = [i for i in range(len(data)) if (*old, i) not in gone]
            return [kept(data[i], (*old, i), (*new, n)) for n, i in enumerate(items)]
        return data

    return Document(kept(document.data, (), ()), keys, values, document.base, document.notices)


def _locate(data: Any, path: str, places: Document, at: Path) -> tuple[Path, Any]:
    """The dotted ``path`` part by part, and what stands there. Raises SpecError."""
    full: Path = ()
    for part in path.split("."):
        if isinstance(data, list):
            position = position_of(data, part)
            if position is None:
                known = ", ".join(filter(None, map(entry_name, data))) or "nothing"
                what = f"{path!r} does not exist: the list holds {known}, not {part!r}"
                raise SpecError([Problem(places.key_place(at), at, what)])
            full, data = (*full, position), data[position]
        else:
            full, data = (*full, part), data.get(part) if isinstance(data, dict) else None
    return full, data


def position_of(items: list[Any], part: str) -> int | None:
    """Where in a list the entry stands that a path calls ``part``: by name or by position."""
    return positions(items).get(part)


def positions(items: list[Any]) -> dict[str | None, int]:
    """As ``position_of``, for every name and position at once."""
    found: dict[str | None, int] = {}
    for position, item in enumerate(items):
        found.setdefault(entry_name(item), position)
        found.setdefault(str(position), position)
    return found


def entry_name(item: Any) -> str | None:
    """The label or name of the component that ``item`` is, as paths call it."""
    if isinstance(item, dict):
        item = item.get("label") or item.get("name")
    return item if isinstance(item, str) else None


def _replace(data: Any, path: Path, value: Any, parent: str | int = "") -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_replace(v, rest, value, head) if i == head else v for i, v in enumerate(data)]
    if isinstance(data, str):  # a component without settings: now it gets some
        data = {("set" if parent == "forget" else "name"): data}
    holder = data if isinstance(data, dict) else {}
    return {**holder, head: _replace(holder.get(head), rest, value, head)}


def apply_profile(document: Document, name: str) -> Document:
    """``document`` with the overrides of profile ``name``. Raises SpecError."""
    profiles = document.data.get("profiles") or {}
    for path, value in profiles[name].items():
        document = override(document, path, value, document, ("profiles", name, path))
    return document


def add_method(document: Document, text: str) -> Document:
    """``document`` with one more method: its name, its mapping in YAML, or a file that holds that.

    Raises SpecError. UsageError: the file cannot be read.
    """
    added, at = _method(text), ("append", 0)
    keys = {(*at, *path): place for path, place in added.keys.items()}
    values = {(*at, *path): place for path, place in added.values.items()}
    over = {"append": [added.data]}
    return override(document, "methods", over, Document(over, keys, values), ())


def as_set(text: str) -> str:
    """The ``--set`` that adds the same method as ``--add-method``, whatever files there are."""
    return f"methods={json.dumps({'append': [_method(text).data]}, ensure_ascii=False)}"


def _method(text: str) -> Document:
    if text.endswith((".yaml", ".yml")):
        return read_file(FilePath(text))
    return read_text(text, f"--add-method {text}")


def apply_set(document: Document, assignment: str) -> Document:
    """``document`` with one ``path=value`` of the command line. Raises SpecError."""
    path, equals, text = assignment.partition("=")
    place = f"--set {assignment}"
    if not equals or not path.strip():
        raise SpecError([Problem(Place(place), (), "path=value is needed, as train.steps=100")])
    value = read_text(text, place)
    flat = Document(value.data, {(): Place(place)}, {p: Place(place) for p in value.values})
    return override(document, path.strip(), value.data, flat, ())
