"""What other stages gave for the requests of a component, by the names it asked under."""

from __future__ import annotations

from collections import defaultdict

from harness.components import get
from harness.errors import HarnessError, nearest
from harness.lazy import nn, torch
from harness.plan.asked import kept
from harness.plan.stage import Stage
from harness.spec.requests import Features, Prepare, Trained
from harness.stages.fitting import SNAPSHOT
from harness.stages.world import World


class StageAnswers:
    """The answers to what the components ``uses`` of ``stage`` asked for."""

    def __init__(self, stage: Stage, world: World) -> None:
        self._stage, self._world = stage, world
        self._requests = {
            request.role: request
            for use in stage.uses
            for request in get(use.kind, use.name).traits.requests(use.settings)
            if isinstance(request, Trained | Features | Prepare)
        }

    def _request(self, role: str) -> Trained | Features | Prepare:
        if role not in self._requests:
            known = ", ".join(self._requests) or "nothing"
            hint = nearest(role, self._requests)
            raise HarnessError(f"{role!r} was not asked for{hint} (asked for: {known})")
        return self._requests[role]

    def model(self, name: str) -> nn.Module:
        """A new copy of the model of the ``Trained`` request ``name``, in eval mode."""
        role = f"model:{name}"
        request = self._request(role)
        own = request.model if isinstance(request, Trained) else None
        use = own or self._stage.cell.model
        return self._world.loaded(
            use, self._world.dataset_of(self._stage), "train", self._key(role)
        )

    def snapshots(self, name: str) -> dict[int, dict[str, torch.Tensor]]:
        """By step, the weights of the ``Trained`` request ``name`` after that many steps."""
        role = f"model:{name}"
        request = self._request(role)
        asked = kept(self._stage.cell, [request] if isinstance(request, Trained) else [])
        found: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for key, value in self._world.tensors("train", self._key(role)).items():
            weight, at, step = key.rpartition(SNAPSHOT)
            if at and int(step) in asked:  # others may have asked for more
                found[int(step)][weight] = value
        return dict(sorted(found.items()))

    def features(self, name: str) -> dict[str, torch.Tensor]:
        """``train`` and ``test`` vectors, float32 [n, size], of a ``Features`` request."""
        role = f"features:{name}"
        self._request(role)
        return self._world.tensors("features", self._key(role))

    def prepared(self, name: str, subset: str, of: str = "") -> dict[str, torch.Tensor]:
        """What the ``Prepare`` request for ``name`` on ``subset`` left: of the base model, or of
        the requested model called ``of``."""
        role = ":".join(["prepare", name, subset, *([of] if of else [])])
        self._request(role)
        return self._world.tensors("prepare", self._key(role))

    def _key(self, role: str) -> str:
        return self._stage.input(role)
