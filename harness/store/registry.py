"""The registry: one reviewed file for each checkpoint on the Hub, pinned by commit and hash.

``registry/<spec id>/<name>.yaml`` is written by ``harness publish`` alone. It holds no address: the
endpoint is the one that is configured, and every path follows from the kind and the key.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from attrs import frozen
from jsonschema import Draft7Validator

from harness.errors import HarnessError
from harness.store.store import KIND, RECORD, TENSORS

# How much of an artifact is published: all of it, its record alone, or none of it.
Published: TypeAlias = Literal["whole", "record", "nothing"]
Publishes: TypeAlias = Mapping[str, Published]  # by kind of stage; a kind that is not in it: none

FORMAT = 1
MAX_BYTES = 1 << 16
REPO = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"

_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}


def _object(required: Iterable[str], **properties: Any) -> dict[str, Any]:
    fields = {"properties": properties, "required": list(required)}
    return {"type": "object", "additionalProperties": False, **fields}


_FILE = _object(
    ("path", "sha256", "bytes"),
    path=_TEXT,
    sha256=_SHA256,
    bytes={"type": "integer", "minimum": 1},
)
_NUMBERS = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
_SCHEMA = _object(
    ("harness-registry", "key", "kind", "spec", "repo", "commit", "files", "provenance"),
    **{"harness-registry": {"const": FORMAT}},
    key=_SHA256,
    kind={"type": "string", "pattern": KIND},
    spec=_object(("id", "version"), id=_TEXT, version=_TEXT, profile={"type": ["string", "null"]}),
    repo={"type": "string", "pattern": REPO},
    commit={"type": "string", "pattern": "^[0-9a-f]{40}$"},
    files=_object((RECORD,), **{RECORD: _FILE, TENSORS: _FILE}),
    metrics=_NUMBERS,
    provenance=_SHA256,
)
_CHECK = Draft7Validator(_SCHEMA)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    """One checkpoint. ``file`` is where the registry says so."""

    file: Path
    key: str
    kind: str
    spec: Mapping[str, Any]
    repo: str
    commit: str
    record: Pinned
    tensors: Pinned | None
    metrics: Mapping[str, float | None]
    provenance: str

    def text(self) -> str:
        """The content of the entry's file."""
        files = {RECORD: self.record} | ({TENSORS: self.tensors} if self.tensors else {})
        content = {
            "harness-registry": FORMAT,
            "key": self.key,
            "kind": self.kind,
            "spec": dict(self.spec),
            "repo": self.repo,
            "commit": self.commit,
            "files": {
                name: {"path": f.path, "sha256": f.sha256, "bytes": f.bytes}
                for name, f in files.items()
            },
            **({"metrics": dict(self.metrics)} if self.metrics else {}),
            "provenance": self.provenance,
        }
        return str(yaml.safe_dump(content, sort_keys=False, width=1000))


def path_in_repo(kind: str, key: str, name: str) -> str:
    """Where a file of an artifact lies in its repository."""
    return f"{kind}/{key}/{name}"


def read_entry(file: Path, published: Publishes) -> Entry:
    """The entry in ``file``. Raises RegistryError that says what is wrong with it."""
    try:
        content = file.read_bytes()
        if len(content) > MAX_BYTES:
            raise RegistryError(f"{file}: {len(content):,} bytes; at most {MAX_BYTES:,} are read")
        if b"*" in content:
            raise RegistryError(f"{file}: '*' has no place in a registry entry")  # no aliases
        plain = yaml.load(content.decode(), _LOADER)  # noqa: S506 (it is a safe one)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as problem:
        raise RegistryError(f"{file}: not a registry entry: {problem}") from None
    wrong = min(_CHECK.iter_errors(plain), key=lambda e: list(map(str, e.path)), default=None)
    if wrong is not None:
        place = ".".join(map(str, wrong.path)) or "entry"
        raise RegistryError(f"{file}: {place}: {wrong.message[:300]}")
    # ``$`` of a pattern also matches before a final line break.
    if any("\n" in plain[name] for name in ("key", "kind", "repo", "commit")):
        raise RegistryError(f"{file}: a line break in a key, kind, repo or commit")
    return _entry(file, plain, published.get(plain["kind"], "nothing"))


def _entry(file: Path, plain: Mapping[str, Any], published: Published) -> Entry:
    pinned = {name: Pinned(**fields) for name, fields in plain["files"].items()}
    for name, found in pinned.items():
        allowed = path_in_repo(plain["kind"], plain["key"], name)
        if found.path != allowed:
            raise RegistryError(f"{file}: path {found.path!r} is not allowed, only {allowed!r}")
    if published == "nothing":
        raise RegistryError(f"{file}: kind: stages of kind {plain['kind']!r} are not published")
    if (TENSORS in pinned) != (published == "whole"):
        raise RegistryError(f"{file}: {plain['kind']} has the wrong files: {', '.join(pinned)}")
    if plain["spec"]["id"] != file.parent.name:
        raise RegistryError(f"{file}: entries of {plain['spec']['id']!r} lie in a folder so named")
    return Entry(
        file=file,
        key=plain["key"],
        kind=plain["kind"],
        spec=plain["spec"],
        repo=plain["repo"],
        commit=plain["commit"],
        record=pinned[RECORD],
        tensors=pinned.get(TENSORS),
        metrics=plain.get("metrics", {}),
        provenance=plain["provenance"],
    )


def scan(folder: Path, published: Publishes) -> tuple[dict[str, Entry], list[str]]:
    """Every entry below ``folder`` by key, and a sentence for each that is wrong or doubled."""
    found: dict[str, list[Entry]] = defaultdict(list)
    problems = []
    for file in sorted(folder.glob("*/*.yaml")):
        try:
            entry = read_entry(file, published)
            found[entry.key].append(entry)
        except RegistryError as error:
            problems.append(str(error))
    for key, entries in found.items():
        if len(entries) > 1:
            files = " and ".join(str(entry.file) for entry in entries)
            problems.append(f"two entries for one key, {key[:12]}: {files}")
    return {key: entries[0] for key, entries in found.items()}, problems


def read_registry(folder: Path, published: Publishes) -> dict[str, Entry]:
    """Every entry by key. Raises RegistryError that names all that are wrong."""
    found, problems = scan(folder, published)
    if problems:
        raise RegistryError("\n".join(problems))
    return found


def find_registry(*starts: Path) -> Path | None:
    """The first ``registry`` folder beside or above ``starts``."""
    for start in starts:
        for folder in (start.resolve(), *start.resolve().parents):
            if (folder / "registry").is_dir():
                return folder / "registry"
    return None


def safe_name(text: str) -> str:
    """``text`` as a file name that every system takes."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", text).strip("-.")[:120]
