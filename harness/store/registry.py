"""The registry: one reviewed file for each spec, with a line for each checkpoint on the Hub.

``registry/<spec id>.jsonl`` is written by ``harness publish`` alone; a line is a JSON object that
pins commit, size and hash of an artifact's files. It holds no address: the endpoint is the one that
is configured. A repository has such a file of its own, ``index.jsonl``, which names neither itself
nor its commit. Files come from strangers: nothing of their content is repeated in a message.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.errors import HarnessError
from harness.patterns import Checker
from harness.store.files import explained, replace_file
from harness.store.store import KIND, RECORD, TENSORS

INDEX, CONFIG = "index.jsonl", "config.json"  # of a repository, and of a model
MAX_BYTES, MAX_LINE, MAX_OPEN = 1 << 26, 1 << 14, 64
REPO = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z"

_PART = "[A-Za-z0-9_=+][A-Za-z0-9._=+-]*"
_SHA256 = {"type": "string", "pattern": r"^[0-9a-f]{64}\Z"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_VALUE = {"type": ["string", "number", "boolean", "null"]}


def _object(required: Iterable[str], **properties: Any) -> dict[str, Any]:
    fields = {"properties": properties, "required": list(required)}
    return {"type": "object", "additionalProperties": False, **fields}


def _of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": items, "maxProperties": 200}


_FILE = _object(("sha256", "bytes"), sha256=_SHA256, bytes={"type": "integer", "minimum": 1})
_REQUIRED = ("key", "kind", "path", "repo", "commit", "files", "spec", "cell", "provenance")
_SCHEMA = _object(
    _REQUIRED,
    key=_SHA256,
    kind={"type": "string", "pattern": KIND[:-1] + r"\Z"},
    path={"type": "string", "maxLength": 400, "pattern": rf"^{_PART}(/{_PART})*\Z"},
    repo={"type": "string", "pattern": REPO},
    commit={"type": "string", "pattern": r"^[0-9a-f]{40}\Z"},
    files=_object((RECORD,), **{RECORD: _FILE, TENSORS: _FILE, CONFIG: _FILE}),
    spec=_object(
        ("id", "version", "digest"),
        id=_TEXT,
        version=_TEXT,
        digest=_SHA256,
        profile={"type": ["string", "null"], "maxLength": 200},
    ),
    method=_TEXT,
    cell=_of(_VALUE),
    seed={"type": ["integer", "string"], "maxLength": 200},
    metrics=_of({"type": ["number", "null"]}),
    provenance=_SHA256,
)
_CHECK = Checker(_SCHEMA)


class RegistryError(HarnessError):
    """An entry of the registry is not acceptable."""

    exit_code = 2


@frozen
class Pinned:
    """One file on the Hub, and what it must be."""

    path: str
    sha256: str
    bytes: int


@frozen
class Entry:
    """One checkpoint, as ``file`` says; ``method`` is its kind where it is of no method."""

    file: Path
    key: str
    kind: str
    path: str
    repo: str
    commit: str
    files: Mapping[str, Pinned]
    spec: Mapping[str, Any]
    method: str
    cell: Mapping[str, Any]
    seed: int | str
    metrics: Mapping[str, float | None]
    provenance: str

    @property
    def record(self) -> Pinned:
        """Its record."""
        return self.files[RECORD]

    @property
    def tensors(self) -> Pinned | None:
        """Its tensors, where they were published, too."""
        return self.files.get(TENSORS)

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"{self.path} in {self.file}"

    def line(self, *, pinned: bool = True) -> str:
        """Its line in the registry or, where it is not ``pinned``, in its own repository."""
        content = {
            "path": self.path,
            "key": self.key,
            "kind": self.kind,
            "spec": dict(self.spec),
            "method": self.method,
            "cell": dict(self.cell),
            "seed": self.seed,
            "metrics": dict(self.metrics),
            **({"repo": self.repo, "commit": self.commit} if pinned else {}),
            "files": {n: {"sha256": f.sha256, "bytes": f.bytes} for n, f in self.files.items()},
            "provenance": self.provenance,
        }
        return json.dumps(content, allow_nan=False)


def content_of(file: Path) -> bytes:
    """What is in ``file``. Raises RegistryError unless it is a regular file, and not too large."""
    try:
        # A link could show another file, and opening a named pipe would wait for ever.
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as stream:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise RegistryError(f"{file}: no regular file")
            if found.st_size > MAX_BYTES:
                raise RegistryError(f"{file}: {found.st_size:,} bytes; at most {MAX_BYTES:,}")
            return stream.read(MAX_BYTES)
    except OSError as problem:
        why = "a link; only regular files are read" if file.is_symlink() else problem.strerror
        raise RegistryError(f"{file}: {why}") from None


def parsed(
    content: bytes, file: Path, kinds: Container[str], wanted: Container[str] | None, **pin: str
) -> Iterator[Entry | str]:
    """The entries in ``content``, or a sentence for a line that is none; ``pin`` has ``repo`` and
    ``commit`` where the lines do not. Of entries that are not ``wanted`` only the key is looked at.
    """
    for number, line in enumerate(content.splitlines(), 1):
        place = f"{file}, line {number}"
        if len(line) > MAX_LINE or line.count(b"[") + line.count(b"{") > MAX_OPEN:
            yield f"{place}: too long or too deep for an entry"
            continue
        try:
            plain = json.loads(line)
        except (ValueError, RecursionError):
            yield f"{place}: no JSON"
            continue
        if not isinstance(plain, dict):
            yield f"{place}: no entry"
        elif wanted is None or plain.get("key") in wanted:
            yield _entry(plain | pin, file, place, kinds)


def _entry(plain: dict[str, Any], file: Path, place: str, kinds: Container[str]) -> Entry | str:
    wrong = next(_CHECK.iter_errors(plain), None)
    if wrong is not None:
        where = next(iter(wrong.path), "its fields")  # the inner ones are the file's own words
        lacking = [name for name in _REQUIRED if name not in plain]
        missing = f" ({', '.join(lacking)} missing)" if lacking else ""
        return f"{place}: {where}: not what an entry has there{missing}"
    if plain["kind"] not in kinds:
        return f"{place}: kind: there are no stages of that kind"
    files = plain.pop("files")
    pinned = {name: Pinned(f"{plain['path']}/{name}", **files[name]) for name in files}
    optional = {"method": plain["kind"], "seed": 0, "metrics": {}}
    return Entry(file=file, files=pinned, **optional | plain)


def entries_in(content: bytes, file: Path, kinds: Container[str], **pin: str) -> list[Entry]:
    """Every entry in ``content``, as ``parsed``. Raises RegistryError for a line that is none."""
    found = list(parsed(content, file, kinds, None, **pin))
    if wrong := [each for each in found if isinstance(each, str)]:
        raise RegistryError("\n".join(wrong[:20]))
    return [each for each in found if isinstance(each, Entry)]


def scan(
    folder: Path, kinds: Container[str], wanted: Container[str] | None = None
) -> tuple[dict[str, Entry], dict[str, list[str]]]:
    """Every entry in ``folder`` that is ``wanted``, by key, and sentences about those that are
    wrong, by the id of the spec in whose file they stand."""
    found: dict[str, Entry] = {}
    problems: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        wrong: list[str] = []
        own: set[str] = set()
        try:
            for entry in parsed(content_of(file), file, kinds, wanted):
                if isinstance(entry, str):
                    wrong.append(entry)
                elif entry.spec["id"] != file.stem:
                    wrong.append(f"{entry.place}: it is of another spec than {file.stem}")
                elif entry.key in own:
                    wrong.append(f"{file}: two entries for one key, {entry.key[:12]}")
                else:
                    own.add(entry.key)
                    found.setdefault(entry.key, entry)
        except RegistryError as error:
            wrong.append(str(error))
        if wrong:
            problems[file.stem] = wrong
    return found, problems


def read_registry(
    folder: Path,
    kinds: Container[str],
    spec: str,
    note: Callable[[str], None],
    wanted: Container[str] | None = None,
) -> dict[str, Entry]:
    """The ``wanted`` entries by key; what is wrong in the files of other specs is a ``note``.

    Raises:
        RegistryError: something is wrong in the file of ``spec``.
    """
    found, problems = scan(folder, kinds, wanted)
    if spec in problems:
        raise RegistryError("\n".join(problems[spec][:20]))
    for wrong in problems.values():
        more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        note(f"left out of the registry: {wrong[0]}{more}")
    return found


def write_entries(file: Path, entries: Iterable[Entry], kinds: Container[str]) -> None:
    """Put ``entries`` into ``file`` beside those that are there, in one step.

    Raises:
        HarnessError: it cannot be read or written; it is as it was, and what is on the Hub stays.
    """
    there = entries_in(content_of(file), file, kinds) if file.exists() else ()
    merged = {entry.key: entry for entry in (*there, *entries)}
    try:
        with explained(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, text_of(merged.values()).encode())
    except (HarnessError, OSError) as problem:
        raise HarnessError(
            f"{file} cannot be written ({getattr(problem, 'strerror', problem)}). The checkpoints "
            "are on the Hub; the same command writes the file once it can"
        ) from None


def text_of(entries: Iterable[Entry], *, pinned: bool = True) -> str:
    """The content of a file with ``entries``, in the order of their paths."""
    ordered = sorted(entries, key=lambda entry: (entry.path, entry.key))
    return "".join(f"{entry.line(pinned=pinned)}\n" for entry in ordered)


def find_registry(*starts: Path) -> Path | None:
    """The first ``registry`` folder beside or above ``starts``."""
    for start in starts:
        for folder in (start.resolve(), *start.resolve().parents):
            if (folder / "registry").is_dir():
                return folder / "registry"
    return None


def safe_name(text: str) -> str:
    """``text`` as a file name that every system takes."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-.")[:120]
