"""The challenge's data: the starting kit's split of CIFAR-10, and faces by age group."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from conftest import Cli
from harness.components import NoSettings, get
from harness.corruptions.types import Corruption
from harness.data.datasets import challenge
from harness.data.subset import subset
from harness.data.types import DataRoot, Dataset, Split
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use

NOTHING = Corruption(torch.empty(0, dtype=torch.int64))
# Pictures of one person in each age group, after the shares of the challenge's training pictures:
# 14,650, 1,700, 1,150, 500, 650, 950, 2,350, 1,550, 700 and 400 of about 24,600.
IMBALANCE = (60, 7, 5, 2, 3, 4, 9, 6, 3, 2)


def made(folder: Path, column: str = "age_group", each: int = 2) -> Path:
    """Synthetic faces below ``folder``: persons of every age group, as unequal as the real ones."""
    rng, lines = np.random.default_rng(0), [f"person,{column}"]
    for group, count in enumerate(IMBALANCE):
        for number in range(each):
            person = f"{number}_{group:03d}"  # the first persons by name are of all groups
            place = folder / "faces" / "images" / person
            place.mkdir(parents=True)
            face = rng.integers(0, 200, 3)
            for picture in range(count):
                pixels = np.full((10, 10, 3), face + rng.integers(0, 50), dtype="uint8")
                Image.fromarray(pixels).save(place / f"{picture}.png")
            age = group if column == "age_group" else 20 + 5 * group
            lines.append(f"{person},{age}")
    (folder / "faces" / "persons.csv").write_text("\n".join(lines) + "\n")
    return folder


def faces(below: Path | None, **settings: object) -> Dataset:
    use = structure_use("datasets", {"name": "faces", "size": 8, **settings})
    found: Dataset = get("datasets", "faces").function(use.settings, DataRoot(below, offline=True))
    return found


def forgotten(name: str, rows: torch.Tensor, labels: torch.Tensor, **chosen: object) -> list[int]:
    use = structure_use("forget_sets", {"set": name, **chosen})
    root, draws = DataRoot(None, offline=True), torch.Generator().manual_seed(0)
    function = get("forget_sets", name).function
    return list(function(use.settings, rows, NOTHING, labels, draws, root).tolist())


def test_the_kit_halves_the_test_images_and_draws_the_forget_set_as_it_did_with_seed_42(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first rows of each part, as torch's generator draws them."""
    train, test = (
        Split(torch.arange(count).view(-1, 1, 1, 1), torch.zeros(count, dtype=torch.int64))
        for count in (50, 10_000)
    )
    monkeypatch.setattr(challenge, "find", lambda source, root: (train, test, "here", False))
    kit = get("datasets", "cifar10_kit").function(NoSettings(), DataRoot(None, offline=True))
    assert kit.test.inputs.flatten()[:5].tolist() == [7542, 8214, 3698, 2841, 8086]
    assert kit.validation.inputs.flatten()[:3].tolist() == [6706, 5069, 5862]
    assert len(kit.test.targets) == len(kit.validation.targets) == 5000
    rows = torch.arange(50_000)
    chosen = forgotten("random", rows, rows, share=0.1, torch_seed=42, after=10_000)
    assert len(chosen) == 5000
    assert {5940, 35512, 33717, 12675, 33539} < set(chosen)
    smaller = subset(kit, None, 100)
    assert len(smaller.test.targets) == len(smaller.validation.targets) == 100


def test_faces_are_shuffled_and_split_as_the_scoring_code_does(tmp_path: Path) -> None:
    found = faces(made(tmp_path))
    sizes = [len(split.targets) for split in (found.train, found.validation, found.test)]
    total = 2 * sum(IMBALANCE)
    assert sizes == [int(0.8 * total), int(0.9 * total) - int(0.8 * total), total // 10 + 1]
    files = sorted((p.parent.name, p.name) for p in (tmp_path / "faces" / "images").glob("*/*"))
    random.Random(43).shuffle(files)
    groups = sorted({person for person, _ in files})
    assert found.train.groups is not None
    first = [groups[number] for number in found.train.groups.tolist()]
    assert first == [person for person, _ in files[: sizes[0]]]
    assert [int(person[2:]) for person in first] == found.train.targets.tolist()
    share = Counter(found.train.targets.tolist())[0] / sizes[0]
    assert 0.5 < share < 0.7  # the first age group has most of the pictures
    values = found.encoding.batch(found.train.inputs)
    assert torch.allclose(values, found.train.inputs.float(), atol=1e-3)  # not normalised


def test_whole_persons_are_forgotten_and_keep_their_groups_in_a_smaller_data_set(
    tmp_path: Path,
) -> None:
    smaller = subset(faces(made(tmp_path)), 90, None).train
    assert smaller.groups is not None
    rows = torch.arange(90)
    chosen = forgotten("first_groups", rows, smaller.groups, count=3)
    persons = sorted(set(smaller.groups.tolist()))[:3]
    assert chosen == [row for row in rows.tolist() if int(smaller.groups[row]) in persons]
    with pytest.raises(HarnessError, match="50 groups are to be forgotten; there are"):
        forgotten("first_groups", rows, smaller.groups, count=50)


def test_ages_become_equal_parts_of_their_range(tmp_path: Path) -> None:
    made(tmp_path, column="age")
    by_age = faces(tmp_path).train.targets
    table = tmp_path / "faces" / "persons.csv"
    table.write_text(table.read_text().replace("0_000,20", "0_000,21"))  # of 20 to 65: 4.6 years
    assert torch.equal(faces(tmp_path).train.targets, by_age)
    assert set(by_age.tolist()) == set(range(10))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("person,age_group\n0_000,1\n", "no line for 0_001"),
        ("person,age_group\n0_000,x\n", "persons.csv:2: found"),
        ("person,age_group\n0_000,1\n0_000,2\n", "persons.csv:3: found"),
        ("person,age_group\n0_000,10\n", "0_000 has age group 10 of 0 to 9"),
    ],
)
def test_a_table_that_does_not_fit_names_its_line(tmp_path: Path, lines: str, said: str) -> None:
    made(tmp_path, each=1)
    (tmp_path / "faces" / "persons.csv").write_text(lines)
    with pytest.raises(HarnessError, match=said):
        faces(tmp_path)


def test_missing_pictures_say_where_the_licence_is(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(RemoteError, match="signs their licence: https://sites.google.com/"):
            faces(folder)
    with pytest.raises(HarnessError, match="leaves the data root"):
        faces(tmp_path, folder="../elsewhere")


SPEC = {
    "harness": 1,
    "id": "persons",
    "version": "1.0.0",
    "seeds": [0],
    "data": {"dataset": {"name": "faces", "size": 8}},
    "model": {"name": "small_cnn", "widths": [4]},
    "train": {"steps": 3, "batch_size": 32, "optimizer": {"name": "adam", "lr": 1e-4}},
    "forget": {"set": "first_groups", "count": 3},
    "methods": ["none", "retrain"],
    "metrics": ["forget_accuracy", "validation_accuracy", {"name": "loss", "split": "validation"}],
}


def test_a_run_forgets_persons_and_measures_on_the_validation_split_of_the_data(
    cli: Cli, tmp_path: Path
) -> None:
    made(tmp_path)
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(SPEC))
    done = cli("run", file, "--data-root", tmp_path, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "report.md").read_text()
    assert "validation_loss" in text
    file.write_text(yaml.safe_dump({**SPEC, "forget": {"set": "random"}}))
    nowhere = cli("run", file, "--data-root", tmp_path / "empty", "--out", "out2", "--jobs", 1)
    assert nowhere.returncode == 5
    assert "sites.google.com" in nowhere.stderr + nowhere.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"dataset": "faces", "validation": 0.1}}, "a validation split of its own"),
        ({"data": {"dataset": "mnist"}}, "belong to no groups"),
        ({"forget": {"set": "random", "after": 10}}, "goes on with the generator of torch_seed"),
        ({"data": {"dataset": "mnist"}, "forget": {"set": "random"}}, "needs held-out data"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    cli: Cli, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changes}))
    done = cli("validate", file)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
