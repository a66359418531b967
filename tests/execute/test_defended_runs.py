"""Defences in whole runs: what they change, and what they leave as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import Cli
from harness.components import NoSettings, get
from harness.corruptions.types import Corruption
from harness.data.subset import subset
from harness.data.types import DataRoot
from harness.plan.cost import samples_of
from harness.plan.kinds import Samples
from harness.plan.plan import Plan
from harness.plan.protocol import cells_of, compile_plan
from harness.spec.structure import structure
from harness.stages.material import Material, corrupted, material_of
from harness.stages.stored_corruption import stored

ROOT = DataRoot(None, offline=True)
DIGITS = subset(get("datasets", "digits").function(NoSettings(), ROOT), 40, 40)
JPEG = {"name": "jpeg", "quality": 20}
FLIP = "horizontal_flip"
SPEC: dict[str, Any] = {
    "harness": 1,
    "id": "defended",
    "version": "1.0.0",
    "data": {"dataset": "digits", "train_samples": 200, "test_samples": 100, "validation": 0.1},
    "model": {"name": "small_cnn", "widths": [4, 8]},
    "train": {"steps": 6, "batch_size": 20, "optimizer": {"name": "sgd", "lr": 0.05}},
    "forget": {"set": "class", "label": 1},
    "methods": ["none"],
    "metrics": ["clean_accuracy"],
}


def spec(data: dict[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    return SPEC | {"data": {**SPEC["data"], **(data or {})}, "train": {**SPEC["train"], **train}}


def plan(plain: dict[str, Any]) -> Plan:
    return compile_plan(structure(plain))


def keys(found: Plan, kind: str) -> set[str]:
    return {stage.key for stage in found.stages.values() if stage.kind == kind}


def material(deltas: torch.Tensor | None = None) -> Material:
    """Of 40 digits, of which 4 are held out, with the last 36 corrupted by ``deltas``."""
    (cell,) = cells_of(structure(SPEC))
    rows = torch.arange(4, 40)
    made = Corruption(rows if deltas is not None else rows[:0], deltas=deltas)
    tensors = {"train_rows": rows, "validation_rows": torch.arange(4), **stored(made)}
    found = corrupted(cell, DIGITS, tensors)
    return material_of(cell, DIGITS, found, tensors, ROOT, torch.device("cpu"))


def uses(*defences: object) -> Any:
    return structure(spec({"augment": [FLIP], "defences": list(defences)})).data.augmentations


def test_stored_images_are_squeezed_once_and_only_where_training_sees_them() -> None:
    own, rows = material(), torch.tensor([7, 30])
    pool = own.pool(rows, uses("mixup", JPEG))
    settings = uses(JPEG)[-1].settings
    expected = get("augmentations", "jpeg").function(
        DIGITS.train.inputs[rows], DIGITS.train.targets[rows], settings, torch.Generator()
    )
    assert torch.equal(pool.inputs, expected)
    assert not torch.equal(pool.inputs, DIGITS.train.inputs[rows])
    assert len(pool.augment) == 2
    assert own.defended((uses(JPEG)[-1],)) is own.defended((uses(JPEG)[-1],))
    (batch,) = own.clean(DIGITS.test, rows).ordered()
    assert torch.equal(batch.x, DIGITS.encoding.batch(DIGITS.test.inputs[rows]))
    (batch,) = own.clean(*own.held_out).ordered()
    assert torch.equal(batch.x, DIGITS.encoding.batch(DIGITS.train.inputs[:4]))


def test_a_change_that_is_no_whole_number_reaches_the_defence_as_an_image_file_has_it() -> None:
    own = material(torch.full((36, 1, 8, 8), 63.6))
    pool = own.pool(torch.arange(4, 40), uses("bit_depth"))
    images = DIGITS.train.inputs[4:40].float() + 63.6
    assert torch.equal(pool.inputs, images.round().clamp(0, 255).to(torch.uint8) & 192)
    (batch,) = pool.ordered()
    assert torch.equal(batch.x, DIGITS.encoding.batch(pool.inputs))


def test_the_retained_samples_are_projected_as_the_base_model_saw_them() -> None:
    own, defences = material(), uses("orthogonal_projection")
    whole, part = (own.pool(rows, defences) for rows in (torch.arange(4, 40), torch.arange(9, 12)))
    assert whole.inputs.dtype == torch.float32
    assert torch.equal(whole.inputs[5:8], part.inputs)


def test_what_corrupts_the_data_knows_nothing_of_defences() -> None:
    matching = {"name": "gradient_matching", "count": 4, "restarts": 1, "steps": 1}
    plain = spec() | {"corruption": matching}
    defended = spec({"defences": [JPEG]}, adversary="pgd") | {"corruption": matching}
    both = plan(plain), plan(defended)
    assert keys(both[0], "corrupt") == keys(both[1], "corrupt")
    surrogate = keys(both[0], "train") & keys(both[1], "train")
    assert len(surrogate) == 1
    assert len(keys(both[1], "train")) == 2


@pytest.mark.parametrize(
    "changes", [{"data": {"defences": [JPEG]}}, {"adversary": "pgd"}], ids=["data", "adversary"]
)
def test_a_defence_is_part_of_a_trainings_key_only_where_there_is_one(
    changes: dict[str, Any],
) -> None:
    empty = spec({"defences": []}, adversary=None)
    assert list(plan(empty).stages) == list(plan(spec()).stages)
    assert not keys(plan(spec(**changes)), "train") & keys(plan(spec()), "train")


def test_a_plan_counts_the_passes_of_an_adversary() -> None:
    found = [s for s in plan(spec(adversary="pgd")).stages.values() if s.kind == "train"]
    assert [samples_of(stage) for stage in found] == [Samples(6 * 20 * 11, 6 * 20 * 11)]


def test_defences_run_and_say_what_they_cost(cli: Cli, tmp_path: Path) -> None:
    defences = [JPEG, "orthogonal_projection", {"name": "cutout", "size": 2}, "cutmix"]
    plain = spec({"augment": [FLIP], "defences": defences}, adversary={"name": "pgd", "steps": 2})
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(plain))
    done = cli("run", "spec.yaml", "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    record = next(tmp_path.glob("store/train/*/*/record.json"))
    meter = json.loads(record.read_text())["content"]["record"]["meter"]
    assert meter == {"forward": 6 * 20 * 3, "backward": 6 * 20 * 3, "steps": 6}
    stated = cli("checklist", "out", "--kind", "ml-reproducibility").stdout
    assert "horizontal_flip, jpeg, orthogonal_projection, cutout, cutmix" in stated


def test_what_does_not_fit_is_refused_with_its_place(cli: Cli, tmp_path: Path) -> None:
    worst = {"name": "worst_draw", "augment": ["mixup"]}
    plain = spec({"defences": ["ueraser", {"name": "gaussian_blur", "radius": 9}]}, adversary=worst)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(plain))
    done = cli("validate", "spec.yaml")
    assert done.returncode == 2
    for words in (
        "data.defences[0]", "takes images of 3 channels",
        "data.defences[1].radius", "9 pixels cannot be reflected",
        "train.adversary.augment", "'mixup' is over a labelled batch",
    ):  # fmt: skip
        assert words in done.stderr, done.stderr
