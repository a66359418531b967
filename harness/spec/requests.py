"""What a component may ask other stages for; the compiler answers each request with a stage.

Corruptions, preparations, methods and metrics use the same requests. Equal requests are one stage,
also across specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from attrs import frozen

from harness.components.contracts import Request
from harness.spec.blocks import Train, Use

Subset = Literal["retain", "forget", "train"]


@frozen
class Trained(Request):
    """A model called ``name``, trained on clean or corrupted data.

    ``model`` and ``train`` are the spec's own when left out. ``seed`` is added to the model seed:
    several requests with different seeds are several models. ``snapshots`` keeps the weights after
    these steps, beside the last; a number is that many, evenly spaced, of which the last ends the
    training.
    """

    name: str
    data: Literal["clean", "corrupted"] = "clean"
    model: Use | None = None
    train: Train | None = None
    seed: int = 0
    snapshots: tuple[int, ...] | int = ()

    @property
    def role(self) -> str:
        """The role of the answer among a stage's inputs."""
        return f"model:{self.name}"


@frozen
class Prepare(Request):
    """What candidates share: the component ``name`` of kind ``preparations`` on a ``subset``.

    It is of the base model and its data, or of a requested ``model`` and the data of that one.
    """

    name: str
    settings: Any
    subset: Subset
    model: Trained | None = None

    @property
    def role(self) -> str:
        """The role of the answer among a stage's inputs."""
        of = f":{self.model.name}" if self.model else ""
        return f"prepare:{self.name}:{self.subset}{of}"


@frozen
class Features(Request):
    """The vectors that a frozen ``backbone`` (a ``Use`` of kind ``models``) gives for samples."""

    name: str
    backbone: Use

    @property
    def role(self) -> str:
        """The role of the answer among a stage's inputs."""
        return f"features:{self.name}"


@frozen
class Outputs(Request):
    """Of a metric over a population: the logits of ``count`` models on the splits it reads.

    ``of``: the ``unlearned`` models of the method that is measured, models ``retrained`` without
    the forget set, or the ``original`` base models. ``offset`` is added to their seeds: 0 pairs
    with the spec's own, a large one gives models that are independent of them (an oracle).
    ``count`` is the number of unlearning seeds when left out.
    """

    of: Literal["unlearned", "retrained", "original"]
    count: int | None = None
    offset: int = 0

    @property
    def role(self) -> str:
        """The role of the answers among a stage's inputs, followed by the number of each."""
        return self.of if not self.offset else f"{self.of}+{self.offset}"


class Answers(Protocol):
    """What other stages gave for the requests of one component, by the names it asked under."""

    def model(self, name: str) -> Any: ...
    def snapshots(self, name: str) -> Mapping[int, Mapping[str, Any]]: ...
    def features(self, name: str) -> Mapping[str, Any]: ...
    def prepared(self, name: str, subset: str, of: str = "") -> Mapping[str, Any]: ...
