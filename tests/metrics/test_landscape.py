"""The plane of two trainings, where its geometry is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.components import get
from harness.data.encodings import Features
from harness.data.pool import Pool
from harness.data.types import Split
from harness.metrics.evidence import Evidence
from harness.spec.structure import structure_use


class Given:
    def __init__(self, **paths: torch.Tensor) -> None:
        self.paths = paths

    def snapshots(self, name: str) -> Any:
        return {
            step: {"0.weight": weights[:4].view(2, 2), "0.bias": weights[4:]}
            for step, weights in enumerate(self.paths[name])
        }


def evidence(**paths: torch.Tensor) -> Evidence:
    x, labels = torch.tensor([[1.0, 0.5], [-0.5, 2.0], [0.3, -1.0]]), torch.tensor([0, 1, 1])
    pools = {
        name: Pool(Split(x * scale, labels), torch.arange(3), encoding=Features((2,)))
        for name, scale in (("train", 3.0), ("train_clean", 1.0))
    }
    return Evidence(
        models=lambda which: nn.Sequential(nn.Linear(2, 2)), pools=pools, classes=2,
        target_class=None, costs={}, seed="s", answers=Given(**paths),  # type: ignore[arg-type]
    )  # fmt: skip


def measured(found: Evidence, **settings: Any) -> dict[str, float]:
    use = structure_use("metrics", {"name": "loss_landscape", **settings})
    values: dict[str, float] = get("metrics", use.name).function(found, use.settings)
    return values


def rows(found: Evidence, name: str) -> torch.Tensor:
    return torch.tensor([found.series[k] for k in sorted(found.series) if k.startswith(f"{name}:")])


def test_points_in_a_plane_keep_their_distances_and_the_grid_has_the_losses_of_its_weights() -> (
    None
):
    start, along = torch.linspace(-1, 1, 6), torch.eye(6)[:2] + 0.3
    own = start + torch.tensor([[0.0, 0.0], [1.0, 0.2], [2.0, 1.0]]) @ along
    clean = start + torch.tensor([[0.0, 0.5], [0.5, 2.0], [0.2, 3.0]]) @ along
    found = evidence(path=own, clean_path=clean)
    values = measured(found, grid=5, beyond=0.5)
    assert values["plane_variance"] == pytest.approx(1, abs=1e-5)
    assert 0.5 < values["plane_variance_first"] < 1
    places = torch.cat(
        [torch.tensor([found.series[f"{p}_{c}"] for c in "xy"]).T for p in ("path", "clean_path")]
    )
    every = torch.cat([own, clean])
    assert torch.allclose(torch.cdist(places, places), torch.cdist(every, every), atol=1e-3)
    reach = places.aminmax(dim=0)
    beyond = 0.5 * (reach.max - reach.min)[0]
    assert found.series["plane_x"][0] == pytest.approx(float(reach.min[0] - beyond), abs=1e-3)
    # the map from the plane to weights, from the points alone
    design = torch.cat([places, torch.ones(6, 1)], 1)
    back = torch.linalg.lstsq(design, every).solution
    for name, split in (("loss_trained", "train"), ("loss_clean", "train_clean")):
        [batch] = found.pool(split).ordered()
        for i, y in enumerate(found.series["plane_y"]):
            for j, x in enumerate(found.series["plane_x"]):
                weights = torch.tensor([x, y, 1.0]) @ back
                logits = F.linear(batch.x, weights[:4].view(2, 2), weights[4:])
                loss = float(F.cross_entropy(logits, batch.y))
                assert float(rows(found, name)[i, j]) == pytest.approx(loss, rel=2e-3)


def test_what_the_plane_misses_is_said() -> None:
    own = torch.eye(6)[:3] * torch.tensor([[3.0], [2.0], [1.0]])
    found = evidence(path=own, clean_path=-own)
    assert measured(found, grid=2)["plane_variance"] == pytest.approx((9 + 4) / 14)
