"""From a file to a checked, typed spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path as FilePath

from harness.errors import UsageError, nearest
from harness.spec.blocks import Spec
from harness.spec.check import check
from harness.spec.check_claims import check_claims, wrong_in
from harness.spec.conformance import departures
from harness.spec.merge import add_method, apply_profile, apply_set, read_extended
from harness.spec.origins import (
    Row,
    Trail,
    begin,
    extend,
    follow,
    origins,
    uncovered,
    wrong_entries,
)
from harness.spec.paper import ClaimsFile
from harness.spec.places import Document, Problem, SpecError
from harness.spec.reader import read_file
from harness.spec.structure import structure, structure_block
from harness.spec.variants import never_repeated, variant_documents, wrong_variants

LANGUAGE_VERSIONS = (1,)
MOST_PROBLEMS = 100
MOST_PROFILE_VALUES = 500_000  # seconds; the largest spec so far is a tenth of it
CLAIMS_FILE = "claims.yaml"  # how the name of a claims file ends


def load_spec(file: FilePath, profile: str | None = None, sets: Iterable[str] = ()) -> Spec:
    """Read, merge, override and check the spec in ``file``; ``profile`` may name several, ``a,b``.

    Raises:
        SpecError: with every problem of the spec and of each of its profiles.
        UsageError: the file cannot be read, or there is no such profile.
    """
    return load_with_origins(file, profile, sets)[0]


def load_with_origins(
    file: FilePath,
    profile: str | None = None,
    sets: Iterable[str] = (),
    methods: Iterable[str] = (),
) -> tuple[Spec, list[Row], tuple[str, ...]]:
    """As ``load_spec``, with path, value, origin and place of every value, and notices.

    ``methods`` are added (``--add-method``) before ``sets`` are applied.
    """
    if is_claims_file(file):
        raise UsageError(f"{file} is a claims file and no spec; try 'harness claims {file}'")
    document = read_extended(file)
    notices = document.notices
    spec = _checked(document)
    trail = _trail(spec, document)
    _refuse(chain(wrong_entries(spec, document, None), uncovered(spec, document, trail)))
    _check_profiles(spec, document, trail)
    for name in profile_names(profile):
        if name not in spec.profiles:
            raise UsageError(
                f"{file}: no profile {name!r}{nearest(name, spec.profiles)} "
                f"(profiles: {', '.join(spec.profiles) or 'none'})"
            )
        document = apply_profile(document, name)
        spec, before = _checked(document), spec
        trail = follow(trail, before, spec, name)
    written = document
    for change, texts in ((add_method, methods), (apply_set, sets)):
        for text in texts:
            document = change(document, text)
    if document is not written:
        spec, before = _checked(document), spec
        trail = follow(trail, before, spec, None)
    _refuse(uncovered(spec, document, trail))
    return spec, origins(spec, trail), notices


def profile_names(profile: str | None) -> tuple[str, ...]:
    """The profiles that ``cpu,official`` asks for, in the order in which they apply."""
    return () if profile is None else tuple(name.strip() for name in profile.split(","))


def specs_below(folder: FilePath) -> list[FilePath]:
    """Every spec below ``folder``."""
    return [file for file in sorted(folder.rglob("*.yaml")) if not is_claims_file(file)]


def is_claims_file(file: FilePath) -> bool:
    """Whether ``file`` holds claims over several specs, by its name."""
    return file.name.endswith(CLAIMS_FILE)


def load_claims(file: FilePath) -> ClaimsFile:
    """Read the claims file ``file`` and check it against the specs that it names, which lie in its
    folder or below.

    Raises:
        SpecError: with every problem of the file. UsageError: it cannot be read.
    """
    document = read_file(file)
    if not isinstance(document.data, dict):
        raise SpecError([document.problem((), "a claims file is a mapping of keys")])
    _conform(document, claims=True)
    found: ClaimsFile = structure_block(ClaimsFile, document.data)
    _refuse(_wrong_in_file(found, document, _by_id(file.parent)))
    return found


def _by_id(folder: FilePath) -> dict[str, FilePath]:
    """The specs below ``folder`` by the id that they give themselves."""
    found = {}
    for file in specs_below(folder):
        try:
            data = read_file(file).data
        except SpecError:
            continue  # its own check says what is wrong with it
        if isinstance(data, dict) and isinstance(data.get("id"), str):
            found[data["id"]] = file
    return found


def _wrong_in_file(
    found: ClaimsFile, document: Document, files: Mapping[str, FilePath]
) -> Iterator[Problem]:
    named = {name for claim in found.claims for name in claim.specs if name in files}
    specs = {name: _checked(read_extended(files[name])) for name in sorted(named)}
    for i, claim in enumerate(found.claims):
        if not claim.specs:
            yield document.problem(
                ("claims", i), "'specs' is missing: the ids of one or more specs"
            )
        for name in claim.specs:
            here = ("claims", i, "specs")
            if name not in specs:
                what = f"no spec {name!r} beside or below this file{nearest(name, files)}"
                yield document.problem(here, f"{what} (specs: {', '.join(sorted(files))})")
                continue
            for path, what in wrong_in(claim, specs[name]):
                yield document.problem(("claims", i, *path), f"in the spec {name!r}: {what}")


def _conform(document: Document, claims: bool = False) -> None:
    version = document.data.get("harness")
    if "harness" in document.data and version not in LANGUAGE_VERSIONS:
        known = ", ".join(map(str, LANGUAGE_VERSIONS))
        what = f"unknown language version {version!r}; this harness knows {known}"
        raise SpecError([document.problem(("harness",), what)])
    _refuse(departures(document, claims))


def _checked(document: Document) -> Spec:
    spec = _alone(document)
    if (count := _variants(spec)) * len(document.values) > MOST_PROFILE_VALUES:
        what = (
            f"{count:,} variants times {len(document.values):,} values of the spec are more than "
            f"{MOST_PROFILE_VALUES:,}; sweep a setting instead"
        )
        raise SpecError([document.problem(("variants",), what)])
    _refuse(document.problem(path, what) for path, what in wrong_variants(document))
    found: list[Problem] = []
    for (_, axis, name), changed in variant_documents(document):
        try:
            _alone(changed)
        except SpecError as error:
            found += _prefixed(error, f"in variant {axis}={name}")
    _refuse(found)
    empty = never_repeated(spec.seeds, spec.variants or {})
    _refuse(document.problem(path, what) for path, what in empty)
    return spec


def _variants(spec: Spec) -> int:
    return sum(map(len, (spec.variants or {}).values()))


def _alone(document: Document) -> Spec:
    """The spec without the overrides of its variants."""
    _conform(document)
    spec = structure(document.data)
    _refuse(chain(check(spec, document), check_claims(spec, document)))
    return spec


def _prefixed(error: SpecError, where: str) -> list[Problem]:
    """The problems of ``error``, each with ``where`` it shows."""
    return [Problem(p.place, p.path, f"{where}: {p.message}") for p in error.problems]


def _trail(spec: Spec, document: Document) -> Trail:
    """The origins of a spec as it is written, and those of what it extends."""
    base = document.base
    if base is None or not base.data.get("provenance") or not spec.provenance:
        return begin(spec)
    before, file = _alone(base), document.place(()).file
    own = spec.provenance if document.place(("provenance",)).file == file else ()
    return extend(_trail(before, base), before, spec, FilePath(file).name, own)


def _refuse(found: Iterable[Problem]) -> None:
    """Raises SpecError with the first problems: nobody reads thousands, and each takes its time."""
    if found := list(islice(found, MOST_PROBLEMS)):
        raise SpecError(found)


def _check_profiles(spec: Spec, document: Document, trail: Trail) -> None:
    found: list[Problem] = []
    count = len(spec.profiles) + sum(map(len, spec.profiles.values()))
    if count * (1 + _variants(spec)) * len(document.values) > MOST_PROFILE_VALUES:
        what = (
            f"{len(spec.profiles):,} profiles and the overrides in them, {count:,} together, times "
            f"{len(document.values):,} values of the spec, under each of {_variants(spec):,} "
            f"variants and none, are more than {MOST_PROFILE_VALUES:,}; move some to a spec that "
            "'extends' this one"
        )
        raise SpecError([document.problem(("profiles",), what)])
    for name in spec.profiles:
        try:
            applied = apply_profile(document, name)
            changed = _checked(applied)
            _refuse(wrong_entries(changed, applied, name))
            _refuse(uncovered(changed, applied, follow(trail, spec, changed, name)))
        except SpecError as error:
            found += _prefixed(error, f"in profile {name!r}")
    _refuse(found)
