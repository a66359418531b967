"""Forget sets: what a method is asked to remove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os.path import realpath
from pathlib import Path

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.corruption import Corruption, draw
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.lazy import torch


@frozen
class Corrupted:
    """Settings of ``corrupted``."""

    discovered: float = setting(
        1.0, doc="share of the corrupted samples that were discovered; 0: one sample", ge=0, le=1
    )
    numpy_seed: int | None = setting(
        None,
        doc="draw with numpy's legacy generator of this seed, as published code, in every repeat",
        ge=0,
    )
    after_corruption: tuple[float, ...] = setting(
        (),
        doc="shares that numpy_seed's generator draws after the corrupted samples and not anew, as "
        "published code the first share of a script",
        ge=0,
        le=1,
        later=True,
    )


def corrupted_misfits(settings: Corrupted, facts: Facts) -> Iterator[Misfit]:
    """A stream that goes on from none (trait ``check``)."""
    if settings.after_corruption and settings.numpy_seed is None:
        yield Misfit("after_corruption", "goes on with the generator of numpy_seed, which is none")


@component(
    "forget_sets",
    "corrupted",
    settings=Corrupted,
    of_corrupted=True,
    size=lambda s, train, corrupted, classes: max(1, round(corrupted * s.discovered)),
    check=corrupted_misfits,
    source="Goel et al., arXiv 2402.14015, section 2: corrective unlearning",
)
def corrupted(
    settings: Corrupted,
    rows: torch.Tensor,
    corruption: Corruption,
    targets: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """The discovered part of the corrupted samples, at least one; nested over shares.

    With ``numpy_seed``, shares in ``after_corruption`` go on where the draw of the corrupted
    samples ended, which has to be of all training rows with the same seed; they are nested with
    each other only.

    Raises:
        HarnessError: nothing is corrupted, or the corrupted samples were drawn otherwise.
    """
    if not len(corruption.rows):
        raise HarnessError("forget set: nothing is corrupted, so nothing can be discovered")
    wanted = max(1, round(settings.discovered * len(corruption.rows)))
    seed, after = settings.numpy_seed, 0
    if seed is not None and settings.discovered in settings.after_corruption:
        after = len(rows)
        first = draw(rows, len(corruption.rows), generator, seed)
        if not torch.equal(first.sort().values, corruption.rows):
            raise HarnessError(
                f"forget.after_corruption: the corrupted samples are not those that numpy draws of "
                f"{len(rows):,} training rows with the seed {seed}. Set corruption.numpy_seed and "
                "draw from all classes (include_target), or take after_corruption away"
            )
    return draw(corruption.rows, wanted, generator, seed, after).sort().values


@frozen
class RandomShare:
    """Settings of ``random``."""

    share: float = setting(0.1, doc="share of the training data", gt=0, lt=1)
    torch_seed: int | None = setting(
        None,
        doc="draw with torch's generator of this seed, as published code, in every repeat",
        ge=0,
        later=True,
    )
    after: int = setting(
        0,
        doc="torch_seed's generator draws a permutation of this many numbers first, as published "
        "code that splits its test data with it",
        unit="samples",
        ge=0,
        later=True,
    )


def random_misfits(settings: RandomShare, facts: Facts) -> Iterator[Misfit]:
    """A draw that comes after another of no generator (trait ``check``)."""
    if settings.after and settings.torch_seed is None:
        yield Misfit("after", "goes on with the generator of torch_seed, which is none")


@component(
    "forget_sets",
    "random",
    settings=RandomShare,
    size=lambda s, train, corrupted, classes: round(train * s.share),
    check=random_misfits,
    source="random forget set, as in the NeurIPS 2023 challenge; its starting kit at 5fdba35 draws "
    "with torch_seed 42 after 10,000 test images",
)
def random(
    settings: RandomShare,
    rows: torch.Tensor,
    corruption: Corruption,
    targets: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """A uniform share of the training data, at least one sample; nested over shares."""
    wanted = max(1, round(settings.share * len(rows)))
    if settings.torch_seed is not None:
        generator = torch.Generator().manual_seed(settings.torch_seed)
        torch.randperm(settings.after, generator=generator)
    return draw(rows, wanted, generator).sort().values


@frozen
class ClassForget:
    """Settings of ``class``."""

    label: int = setting(0, doc="the class to forget", ge=0)


def class_misfits(settings: ClassForget, facts: Facts) -> Iterator[Misfit]:
    """A class that does not exist (trait ``check``)."""
    if settings.label >= facts.classes:
        yield Misfit("label", f"class {settings.label} does not exist; there are {facts.classes}")


@component(
    "forget_sets",
    "class",
    settings=ClassForget,
    source="Golatkar et al., CVPR 2020",
    check=class_misfits,
)
def whole_class(
    settings: ClassForget,
    rows: torch.Tensor,
    corruption: Corruption,
    targets: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """Every training sample of one class. Raises HarnessError when there is none."""
    chosen = rows[targets[rows] == settings.label]
    if not len(chosen):
        raise HarnessError(f"forget set: no training sample has the class {settings.label}")
    return chosen


@frozen
class Indices:
    """Settings of ``indices``."""

    file: str = setting(
        doc="file below the data root: one row number a line, or a JSON list", example="rows.txt"
    )


@component("forget_sets", "indices", settings=Indices, source="a list that somebody published")
def indices(
    settings: Indices,
    rows: torch.Tensor,
    corruption: Corruption,
    targets: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """The training rows that a file lists, counted from 0 in the data set's own order.

    Raises:
        HarnessError: the file leaves the data root, is missing, or names a row twice, none at all,
            or one that is not training data.
    """
    chosen = read_integers(settings.file, root)
    if not chosen:
        raise HarnessError(f"{settings.file}: no row is listed")
    if len(set(chosen)) != len(chosen):
        raise HarnessError(f"{settings.file}: a row is listed twice")
    known = set(rows.tolist())
    for position, row in enumerate(chosen, 1):
        if row not in known:
            raise HarnessError(f"{settings.file}: entry {position}: {row} is no training row")
    return torch.tensor(sorted(chosen), dtype=torch.int64)


@frozen
class Groups:
    """Settings of ``group``."""

    file: str = setting(
        doc="file below the data root: the group number of each training sample, one a line",
        example="groups.txt",
    )
    groups: tuple[int, ...] = setting(
        doc="groups to forget, such as the persons who asked for it", example=(3, 5)
    )


@component(
    "forget_sets", "group", settings=Groups, source="per-person requests, NeurIPS 2023 challenge"
)
def group(
    settings: Groups,
    rows: torch.Tensor,
    corruption: Corruption,
    targets: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """Every training sample of some groups; samples that a corruption added are in none.

    Raises:
        HarnessError: as ``indices`` does, or the file lists more or fewer samples than there are.
    """
    listed = read_integers(settings.file, root)
    if any(abs(number) >= 2**63 for number in listed):
        raise HarnessError(f"{settings.file}: a group number does not fit 64 bits")
    groups = torch.tensor(listed, dtype=torch.int64)
    own = len(targets) - (0 if corruption.added is None else len(corruption.added.targets))
    if len(groups) != own:
        raise HarnessError(f"{settings.file}: {len(groups)} groups for {own} training samples")
    rows = rows[rows < own]
    chosen = rows[torch.isin(groups[rows], torch.tensor(settings.groups))]
    if not len(chosen):
        raise HarnessError(f"{settings.file}: no training sample is in {list(settings.groups)}")
    return chosen


def read_integers(name: str, root: DataRoot) -> list[int]:
    """The integers in a file below the data root. Raises HarnessError."""
    if root.folder is None:
        raise HarnessError(f"{name}: a --data-root is needed to read it")
    home = Path(realpath(root.folder))
    file = Path(realpath(home / name))  # a loop of links is no file
    if not file.is_relative_to(home):
        raise HarnessError(f"{name!r} leaves the data root")
    if not file.is_file():
        raise HarnessError(f"{name}: no such file below {root.folder}")
    return _parse(file, name)


def _parse(file: Path, name: str) -> list[int]:
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else None
    except ValueError as problem:
        raise HarnessError(f"{name}: cannot be read: {problem}") from None
    if file.suffix == ".json":
        if not isinstance(found, list) or any(type(item) is not int for item in found):
            raise HarnessError(f"{name}: a JSON list of whole numbers is needed")
        return found
    numbers = []
    for line, word in enumerate(text.split("\n"), 1):
        if not word.strip():
            continue
        try:
            numbers.append(int(word))
        except ValueError:
            raise HarnessError(f"{name}:{line}: found {word!r}; a whole number is needed") from None
    return numbers
