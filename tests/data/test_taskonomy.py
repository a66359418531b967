"""Taskonomy's tiny split on made files in its layout."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.components import get
from harness.data.types import DataRoot, Dataset
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use

SPLITS = "id,train,val,test\nhanson,1,0,0\nmerom,0,1,0\ncollierville,0,0,1\nother,0,0,0\n"


def load(root: Path | None, **settings: int) -> Dataset:
    use = structure_use("datasets", {"name": "taskonomy", "size": 8, **settings})
    return get("datasets", "taskonomy").function(use.settings, DataRoot(root, offline=True))


def write(root: Path, building: str, view: int, *, scene: int, depth: int) -> None:
    for domain in ("rgb", "class_scene", "keypoints2d", "depth_euclidean", "segment_unsup2d"):
        folder = root / "taskonomy" / domain / "taskonomy" / building
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"point_0_view_{view}_domain_{domain}"
        match domain:
            case "rgb":
                Image.new("RGB", (16, 16), (10 * view, 20, 30)).save(f"{file}.png")
            case "class_scene":
                scenes = np.zeros(365, dtype="float32")
                scenes[scene] = 1
                np.save(f"{file}.npy", scenes)
            case "keypoints2d":
                half = np.full((16, 16), round(65535 * 0.0025), dtype="uint16")
                Image.fromarray(half).save(f"{file}.png")
            case "depth_euclidean":
                Image.fromarray(np.full((16, 16), depth, dtype="uint16")).save(f"{file}.png")
            case _:
                Image.fromarray(np.full((16, 16), 255, dtype="uint8")).save(f"{file}.png")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for view in range(3):
        write(tmp_path, "hanson", view, scene=view, depth=999)
    write(tmp_path, "merom", 0, scene=200, depth=0)
    write(tmp_path, "collierville", 0, scene=364, depth=65535)
    splits = tmp_path / "taskonomy" / "splits_taskonomy"
    splits.mkdir()
    (splits / "train_val_test_tiny.csv").write_text(SPLITS)
    return tmp_path


def test_scenes_and_maps_are_read_as_they_are_learned(made: Path) -> None:
    found = load(made)
    assert found.train.inputs.shape == (4, 3, 8, 8)
    assert found.train.inputs[:, :, 0, 0].tolist()[1] == [10, 20, 30]
    assert found.train.targets.tolist() == [0, 1, 2, 200]
    assert found.test.targets.tolist() == [364]
    depth = found.train.maps["depth_euclidean"]
    assert depth.shape == (4, 1, 8, 8)
    assert depth[0].float().mean() == pytest.approx(log(1000) / log(65536), abs=1e-3)
    assert depth[3].abs().max() == 0
    assert found.test.maps["depth_euclidean"].float().mean() == pytest.approx(1, abs=1e-3)
    assert found.train.maps["keypoints2d"].float().abs().max() < 0.01  # the middle of [-1, 1]
    assert found.train.maps["segment_unsup2d"].float().mean() == 1


def test_an_image_without_every_file_is_left_out_and_buildings_can_be_cut(made: Path) -> None:
    folder = made / "taskonomy" / "depth_euclidean" / "taskonomy" / "hanson"
    (folder / "point_0_view_1_domain_depth_euclidean.png").unlink()
    assert load(made).train.targets.tolist() == [0, 2, 200]
    assert load(made, per_building=1).train.targets.tolist() == [0, 200]


def test_without_the_files_the_message_says_where_the_licence_is(tmp_path: Path) -> None:
    for root in (None, tmp_path):
        with pytest.raises(RemoteError, match=r"StanfordVL/taskonomy/blob/master/data/LICENSE"):
            load(root)


def test_a_building_that_leaves_the_folder_and_an_array_that_runs_code_are_refused(
    made: Path,
) -> None:
    scene = next(made.glob("taskonomy/class_scene/taskonomy/hanson/*.npy"))
    np.save(scene, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(HarnessError, match="is no array"):
        load(made)
    splits = made / "taskonomy" / "splits_taskonomy" / "train_val_test_tiny.csv"
    splits.write_text("id,train,val,test\n../../elsewhere,1,0,0\n")
    with pytest.raises(HarnessError, match="is no building"):
        load(made)
