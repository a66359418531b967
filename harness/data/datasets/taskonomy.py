"""Taskonomy, whose images have a scene and several maps each."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from attrs import frozen

from harness.components import Facts, component, setting
from harness.data import parquet
from harness.data.encodings import photographs
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.errors import HarnessError, RemoteError
from harness.lazy import F, np, torch

SCENES = 365
BUILDINGS = "splits_taskonomy/train_val_test_tiny.csv"
LICENCE = (
    "Taskonomy is given out under its own terms, which have to be agreed to: "
    "https://github.com/StanfordVL/taskonomy/blob/master/data/LICENSE; download: "
    "https://github.com/StanfordVL/taskonomy/tree/master/data"
)
# From what a file holds to what is learned, as Mod-Squad's util/dataset_taskonomy.py at 1d17e81.
MAPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "keypoints2d": lambda found: (found / 65535).clamp(0, 0.005) / 0.005 * 2 - 1,
    "depth_euclidean": lambda found: found.log1p() / torch.tensor(65536.0).log(),
    "segment_unsup2d": lambda found: found / 255 * 2 - 1,
}


@frozen
class Taskonomy:
    """Settings of ``taskonomy``."""

    size: int = setting(
        64, doc="side that the shorter side is resized to before a centre crop", unit="pixels", ge=8
    )
    per_building: int | None = setting(
        None, doc="images of a building, the first by name; all are held in memory", ge=1
    )


@component(
    "datasets",
    "taskonomy",
    settings=Taskonomy,
    source="Zamir et al. 2018; its tiny split, files as omnitools lays them out, and targets as in "
    "Mod-Squad at 1d17e81 (protocol section 7)",
    facts=lambda s: Facts(photographs(s.size), SCENES, train=None, test=None, maps=tuple(MAPS)),
)
def taskonomy(settings: Taskonomy, root: DataRoot) -> Dataset:
    """Photographs of rooms, uint8 [N, 3, S, S], with 365 scenes and three maps in float16.

    ``taskonomy/DOMAIN/taskonomy/BUILDING/point_P_view_V_domain_DOMAIN.png`` for rgb and each map,
    ``.npy`` for class_scene, and ``taskonomy/splits_taskonomy/train_val_test_tiny.csv``, whose
    validation buildings are trained on, as Mod-Squad does. The class of an image is the largest of
    its 365 scenes; an image that lacks a file is left out.

    Raises:
        RemoteError: the files are not there; they cannot be passed on.
        HarnessError: a file is not what it should be.
    """
    if root.folder is None:
        raise RemoteError(f"taskonomy needs a --data-root with the folder taskonomy. {LICENCE}")
    folder = root.folder / "taskonomy"
    if not (folder / BUILDINGS).is_file():
        raise RemoteError(f"taskonomy: no file {folder / BUILDINGS}. {LICENCE}")
    train, test = (_read(folder, names, settings) for names in _buildings(folder / BUILDINGS))
    names = tuple(map(str, range(SCENES)))
    return dataset("taskonomy", train, test, names, photographs(settings.size), str(folder))


def _buildings(file: Path) -> tuple[list[str], list[str]]:
    """The names of the buildings to train and to test on, of rows (id, train, val, test)."""
    train, test = list[str](), list[str]()
    with file.open(newline="") as opened:
        for row in islice(csv.reader(opened), 1, None):
            if len(row) < 4 or not re.fullmatch(r"\w+", row[0]):
                raise HarnessError(f"{file}: {row} is no building with train, val and test")
            if "1" in row[1:4]:
                (test if row[3] == "1" else train).append(row[0])
    return train, test


def _read(folder: Path, buildings: list[str], settings: Taskonomy) -> Split:
    places = [
        (building, view)
        for building in buildings
        for view in _views(folder, building)[: settings.per_building]
    ]
    if not places:
        raise RemoteError(f"taskonomy: {folder} has no image of {', '.join(buildings)}. {LICENCE}")
    images = [
        parquet.decode(_file(folder, "rgb", *place), "RGB", settings.size) for place in places
    ]
    return Split(
        torch.from_numpy(np.stack(images)),
        torch.tensor([_scene(_file(folder, "class_scene", *place)) for place in places]),
        maps={
            domain: torch.stack([_map(folder, domain, place, settings.size) for place in places])
            for domain in MAPS
        },
    )


def _file(folder: Path, domain: str, building: str, view: str) -> Path:
    ending = "npy" if domain == "class_scene" else "png"
    return folder / domain / "taskonomy" / building / f"{view}_domain_{domain}.{ending}"


def _views(folder: Path, building: str) -> list[str]:
    """The views of a building that have every file, as ``point_0_view_1``, by name."""
    rgb = (folder / "rgb" / "taskonomy" / building).glob("*_domain_rgb.png")
    views = sorted(file.name.removesuffix("_domain_rgb.png") for file in rgb)
    every = ("class_scene", *MAPS)
    return [v for v in views if all(_file(folder, d, building, v).is_file() for d in every)]


def _scene(file: Path) -> int:
    try:
        found = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as problem:
        raise HarnessError(f"{file} is no array: {problem}") from None
    if found.shape != (SCENES,):
        raise HarnessError(f"{file} has the shape {found.shape}; {SCENES} scenes are needed")
    return int(found.argmax())


def _map(folder: Path, domain: str, place: tuple[str, str], size: int) -> torch.Tensor:
    """float16 [1, S, S]: scaled, then resized, the centre of it."""
    from PIL import Image

    file = _file(folder, domain, *place)
    try:
        with Image.open(file) as image:
            found = torch.from_numpy(np.array(image).astype("float32"))
    except (OSError, ValueError) as problem:
        raise HarnessError(f"{file} is no image: {problem}") from None
    if found.ndim != 2:
        raise HarnessError(f"{file} has {found.ndim} dimensions; a map of one channel is needed")
    side = min(found.shape)
    top, left = ((length - side) // 2 for length in found.shape)
    scaled = MAPS[domain](found[top : top + side, left : left + side])
    small = F.interpolate(scaled[None, None], (size, size), mode="bilinear", antialias=True)
    return small[0].half()
