"""The data of the NeurIPS 2023 unlearning challenge: its starting kit's, and faces by age group."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from harness.components import Facts, NoSettings, component, setting
from harness.data import parquet
from harness.data.datasets.images import CIFAR10_BEGINS, CIFAR10_CLASSES
from harness.data.encodings import Images
from harness.data.sources import Source, find
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.errors import HarnessError, RemoteError
from harness.lazy import np, torch

KIT = Images(shape=(3, 32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
KIT_SEED = 42
SPLIT_SEED = 43
LICENCE = (
    "https://sites.google.com/corp/view/face-anti-spoofing-challenge/dataset-download/"
    "casia-surf-cefacvpr2020"
)


@component(
    "datasets",
    "cifar10_kit",
    source="NeurIPS 2023 unlearning challenge: unlearning-challenge/starting-kit at 901e784",
    facts=lambda s: Facts(KIT, 10, train=50_000, test=5_000, validation=5_000),
)
def cifar10_kit(settings: NoSettings, root: DataRoot) -> Dataset:
    """CIFAR-10 as the challenge's starting kit splits and normalises it.

    The test images in the order that torch's generator of seed 42 draws: the first half is the test
    set, the second the validation set. All training images train; uint8 [N, 3, 32, 32].
    """
    train, test, place, lossy = find(Source("cifar10", "uoft-cs/cifar10", "CIFAR10"), root)
    count = len(test.targets)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(KIT_SEED))
    return dataset(
        "cifar10_kit",
        train,
        test.at(order[: count // 2]),
        CIFAR10_CLASSES,
        KIT,
        place,
        lossy=lossy,
        begins=CIFAR10_BEGINS,
        validation=test.at(order[count // 2 :]),
    )


@frozen
class Faces:
    """Settings of ``faces``."""

    folder: str = setting("faces", doc="folder below the data root")
    table: str = setting(
        "persons.csv",
        doc="file in it with a line for each person: columns person, and age_group or age",
    )
    size: int = setting(32, doc="side that pictures are resized to", unit="pixels", ge=8)
    classes: int = setting(
        10, doc="age groups; of ages, equal parts of the range that they span", ge=2
    )


@component(
    "datasets",
    "faces",
    settings=Faces,
    source="CASIA-SURF CeFA, as google-deepmind/unlearning_evaluation at ffae0ff, surf.py",
    facts=lambda s: Facts(
        Images((3, s.size, s.size), mean=(0.0,) * 3, std=(1 / 255,) * 3),
        s.classes,
        train=None,
        test=None,
        validation=None,
        groups=True,
    ),
)
def faces(settings: Faces, root: DataRoot) -> Dataset:
    """Pictures ``images/PERSON/*`` with the age group of each person: uint8 [N, 3, S, S].

    Models get intensities from 0 to 255, not normalised. The files, sorted by person and name, are
    shuffled by Python's generator of seed 43: 80 % train, 10 % are the validation and 10 % the test
    set, so that a person can be in all three. Groups are the persons in the order of their names.
    The challenge's pictures have about 24,500 for training, of which 60 % are of the first age
    group; nobody may pass them on.

    Raises:
        RemoteError: the folder is not there.
        HarnessError: it leaves the data root, or the table does not fit the pictures.
    """
    if root.folder is None:
        raise RemoteError(f"faces needs a --data-root with {settings.folder}/images. {_licence()}")
    home, folder = root.folder.resolve(), (root.folder / settings.folder).resolve()
    table = (folder / settings.table).resolve()
    if not (folder.is_relative_to(home) and table.is_relative_to(folder)):
        raise HarnessError(f"{settings.folder}/{settings.table} leaves the data root")
    for wanted in (folder / "images", table):
        if not wanted.exists():
            raise RemoteError(f"faces: there is no {wanted}. {_licence()}")
    persons = sorted(p.name for p in (folder / "images").iterdir() if p.is_dir())
    files = [
        (file, group)
        for group, person in enumerate(persons)
        for file in sorted((folder / "images" / person).iterdir())
        if file.is_file() and not file.name.startswith(".")
    ]
    labels = _age_groups(table, settings.classes)
    if lost := [person for person in persons if person not in labels]:
        raise HarnessError(f"{table}: no line for {', '.join(lost[:5])}; {len(lost)} in all")
    random.Random(SPLIT_SEED).shuffle(files)  # noqa: S311
    ends = [0, int(0.8 * len(files)), int(0.9 * len(files)), len(files)]
    train, validation, test = (
        _read(files[ends[i] : ends[i + 1]], [labels[person] for person in persons], settings.size)
        for i in range(3)
    )
    names = tuple(f"age group {number}" for number in range(settings.classes))
    encoding = Images(train.inputs.shape[1:], mean=(0.0,) * 3, std=(1 / 255,) * 3)
    return dataset("faces", train, test, names, encoding, str(folder), validation=validation)


def _licence() -> str:
    return (
        "The challenge's pictures (CASIA-SURF CeFA) are given to who signs their licence: "
        f"{LICENCE}. Put them there as images/PERSON/NUMBER.png, beside a table of the persons"
    )


def _age_groups(table: Path, classes: int) -> Mapping[str, int]:
    """The age group of each person. Raises HarnessError, with the line."""
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
    except (ValueError, csv.Error) as problem:
        raise HarnessError(f"{table}: cannot be read: {problem}") from None
    column = "age_group" if lines and "age_group" in lines[0] else "age"
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 2):
        person, text = line.get("person"), line.get(column) or ""
        if not person or not text.isdecimal() or person in found:
            what = f"found {dict(line)}; one person with a whole number age_group or age is needed"
            raise HarnessError(f"{table}:{number}: {what}")
        found[person] = int(text)
    if column == "age" and found:
        edges = np.linspace(min(found.values()), max(found.values()) + 1, classes + 1)
        found = {person: int(np.digitize(age, edges)) - 1 for person, age in found.items()}
    if wrong := next((p for p, group in found.items() if group >= classes), None):
        raise HarnessError(f"{table}: {wrong} has age group {found[wrong]} of 0 to {classes - 1}")
    return found


def _read(files: Sequence[tuple[Path, int]], labels: Sequence[int], size: int) -> Split:
    """Raises HarnessError where there is no file."""
    if not files:
        raise HarnessError("faces: too few pictures for a training, a validation and a test set")
    images = np.stack([parquet.decode(file, "RGB", size) for file, _ in files])
    groups = torch.tensor([group for _, group in files])
    return Split(torch.from_numpy(images), torch.tensor(labels)[groups], groups)
