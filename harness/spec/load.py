"""From a file to a checked, typed spec."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as FilePath

from harness.errors import UsageError, nearest
from harness.spec.blocks import Spec
from harness.spec.check import check
from harness.spec.merge import apply_profile, apply_set, read_extended
from harness.spec.places import Document, Problem, SpecError
from harness.spec.structure import structure
from harness.spec.validate import problems

LANGUAGE_VERSIONS = (1,)


def load_spec(file: FilePath, profile: str | None = None, sets: Iterable[str] = ()) -> Spec:
    """Read, merge, override and check the spec in ``file``.

    Raises:
        SpecError: with every problem of the spec and of each of its profiles.
        UsageError: the file cannot be read, or there is no such profile.
    """
    document = read_extended(file)
    spec = _checked(document)
    _check_profiles(document)
    if profile is not None:
        known = list(spec.profiles)
        if profile not in known:
            raise UsageError(
                f"{file}: no profile {profile!r}{nearest(profile, known)} "
                f"(profiles: {', '.join(known) or 'none'})"
            )
        document = apply_profile(document, profile)
    for assignment in sets:
        document = apply_set(document, assignment)
    return _checked(document)


def _checked(document: Document) -> Spec:
    version = document.data.get("harness")
    if "harness" in document.data and version not in LANGUAGE_VERSIONS:
        known = ", ".join(map(str, LANGUAGE_VERSIONS))
        what = f"unknown language version {version!r}; this harness knows {known}"
        raise SpecError([document.problem(("harness",), what)])
    found = problems(document)
    if found:
        raise SpecError(found)
    spec = structure(document.data)
    if found := check(spec, document):
        raise SpecError(found)
    return spec


def _check_profiles(document: Document) -> None:
    found: list[Problem] = []
    for name in document.data.get("profiles") or {}:
        try:
            _checked(apply_profile(document, name))
        except SpecError as error:
            for problem in error.problems:
                in_profile = f"in profile {name!r}: {problem.message}"
                found.append(Problem(problem.place, problem.path, in_profile))
    if found:
        raise SpecError(found)
