"""What stages compute with in one process: data, splits, models and artifacts, each loaded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs

from harness.components import get
from harness.data.subset import subset
from harness.data.types import DataRoot, Dataset, Split, digest
from harness.errors import HarnessError, IntegrityError
from harness.lazy import nn, torch
from harness.plan.kinds import store_at
from harness.plan.stage import Cell, Stage, identity
from harness.spec.blocks import Data, Use
from harness.spec.fit import architecture, facts_of
from harness.stages.fitting import SNAPSHOT, differing
from harness.stages.material import Material, corrupted, material_of
from harness.stages.options import Options
from harness.store import Artifact
from harness.training.seeding import seeded_build

Computed = tuple[dict[str, Any], "Mapping[str, torch.Tensor] | None"]
MEMORY = 40  # artifacts that a process remembers, as long as their tensors take no more than
BYTES = 2**31


class DamagedInput(IntegrityError):
    """The artifact of an input is not what its hash says; it was set aside."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class World:
    """Loads and remembers what the stages of one process share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.device = torch.device(options.devices[0])
        self.store = store_at(options.store)
        cache = options.store.parent / "data"
        self.root = DataRoot(folder=options.data_root, offline=options.offline, cache=cache)
        self._memory: OrderedDict[Any, Any] = OrderedDict()

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made once while it is among the last that were asked for."""
        if key not in self._memory:
            self._memory[key] = make()
            while len(self._memory) > MEMORY or (self._held() > BYTES and len(self._memory) > 1):
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def _held(self) -> int:
        artifacts = (made for made in self._memory.values() if isinstance(made, Artifact))
        return sum(t.nbytes for artifact in artifacts for t in (artifact.tensors or {}).values())

    def artifact(self, kind: str, key: str) -> Artifact:
        """The artifact of another stage. Raises DamagedInput after setting a damaged one aside."""
        return self.remember((kind, key), lambda: self._checked(self.store.read, kind, key))

    def tensors(self, kind: str, key: str) -> dict[str, torch.Tensor]:
        """The tensors of another stage. Raises DamagedInput also when they were dropped."""
        tensors = self.artifact(kind, key).tensors
        if tensors is None:
            self._memory.pop((kind, key))
            raise DamagedInput(key, f"the tensors of {kind} {key[:8]} are gone")
        return tensors

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """Only the record of another stage. Raises DamagedInput as ``artifact`` does."""
        return self._checked(self.store.record, kind, key)

    def lost(self, kind: str, key: str) -> str:
        """How the candidate that an ``unlearn`` or ``outputs`` stage is of diverged, or nothing."""
        return str(self.record(kind, key).get("diverged", ""))

    def _checked(self, read: Callable[[str, str], Any], kind: str, key: str) -> Any:
        with self._trusting(kind, key):
            return read(kind, key)

    @contextmanager
    def _trusting(self, kind: str, key: str) -> Iterator[None]:
        """Set the artifact aside, and raise DamagedInput, when the block finds it damaged."""
        try:
            yield
        except IntegrityError as error:
            self._memory.pop((kind, key), None)
            self.store.set_aside(kind, key)
            raise DamagedInput(key, str(error)) from error

    def dataset(self, data: Data) -> Dataset:
        """The data set of a spec, cut to the samples that it asks for."""
        raw = attrs.evolve(data, augment=(), defences=(), features=None)
        return self.remember(identity(raw), lambda: self._load(data))

    def dataset_of(self, stage: Stage) -> Dataset:
        """The data set that ``stage`` looks at: of features, where its cell has a backbone."""
        data = stage.cell.data
        if data.features is None:
            found = self.dataset(data)
        else:
            key = stage.input("features")
            found = self.remember(("dataset", key), lambda: self._of_features(data, key))
        _check_order(stage.cell, found)
        return found

    def _of_features(self, data: Data, key: str) -> Dataset:
        raw, vectors = self.dataset(data), self.tensors("features", key)
        found = self.record("features", key)["data"]["digest"]
        if found != raw.digest:
            raise _other_data(data, raw, found)
        parts = [
            Split(vectors[name], split.targets)
            for name, split in (("train", raw.train), ("test", raw.test))
        ]
        return attrs.evolve(
            raw, train=parts[0], test=parts[1], encoding=facts_of(data).encoding,
            digest=digest(*parts),
        )  # fmt: skip

    def _load(self, data: Data) -> Dataset:
        component = get("datasets", data.dataset.name)
        dataset: Dataset = component.function(data.dataset.settings, self.root)
        if data.digest is not None and data.digest != dataset.digest:
            raise IntegrityError(
                f"the data set {data.dataset.name!r} found at {dataset.source} has the digest "
                f"{dataset.digest}; the spec pins {data.digest}"
            )
        return subset(dataset, data.train_samples, data.test_samples)

    def material(self, stage: Stage) -> Material:
        """The data of the stage's cell, from its ``corrupt`` artifact."""
        corrupt = dict(stage.inputs)["corrupt"]
        key = ("material", corrupt, identity(stage.cell.forget))
        return self.remember(key, partial(self._material, stage, corrupt))

    def _material(self, stage: Stage, corrupt: str) -> Material:
        cell, dataset = stage.cell, self.dataset_of(stage)
        made = self.artifact("corrupt", corrupt).record["data"]["digest"]
        if dataset.digest != made:
            raise _other_data(cell.data, dataset, made)
        tensors = self.tensors("corrupt", corrupt)
        # Cells that differ only in what was discovered share one copy.
        with self._trusting("corrupt", corrupt):
            found = self.remember(("corrupted", corrupt), lambda: corrupted(cell, dataset, tensors))
        return material_of(cell, dataset, found, tensors, self.root, self.device)

    def build(self, cell: Cell, dataset: Dataset, seed: str) -> nn.Module:
        """A newly initialised model of the spec on this process's device."""
        return self._built(cell.model, dataset, seed, cell.train.memory_format)

    def _built(self, model: Use, dataset: Dataset, seed: str, memory_format: str) -> nn.Module:
        function = get("models", model.name).function
        make = partial(function, model.settings, dataset.encoding, len(dataset.classes))
        return self.on_device(seeded_build(make, seed), memory_format)

    def on_device(self, model: nn.Module, memory_format: str = "contiguous") -> nn.Module:
        """``model`` on the device that this process computes with; channels_last on every GPU."""
        if self.device.type == "cuda" or memory_format == "channels_last":
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.to(self.device)

    def load_model(self, cell: Cell, dataset: Dataset, kind: str, key: str) -> nn.Module:
        """The spec's model in the artifact of a ``train`` or ``unlearn`` stage, in eval mode."""
        return self.loaded(cell.model, dataset, kind, key, cell.train.memory_format)

    def loaded(
        self, model: Use, dataset: Dataset, kind: str, key: str, memory_format: str = "contiguous"
    ) -> nn.Module:
        """A ``model`` with the weights of an artifact, in eval mode."""
        built = self._built(architecture(model), dataset, key, memory_format)
        tensors = self.tensors(kind, key)
        with self._trusting(kind, key):
            load_weights(built, {k: v for k, v in tensors.items() if SNAPSHOT not in k})
        return built.eval()


def _check_order(cell: Cell, dataset: Dataset) -> None:
    """Refuse draws of published code that would give other samples than published.

    A spec that takes part of the data cannot mean the published samples.
    """
    if not dataset.reordered or cell.data.train_samples is not None:
        return
    uses = {"corruption": cell.corruption, "forget": cell.forget}
    seeded = [
        f"{place}.{name}"
        for place, use in uses.items()
        for name in ("numpy_seed", "torch_seed")
        if getattr(use.settings, name, None) is not None
    ]
    if seeded:
        raise HarnessError(
            f"{' and '.join(seeded)}: published code draws samples by row number, but the rows of "
            f"{dataset.name} in {dataset.source} are in another order than there. Put the original "
            "files, as torchvision reads them, below --data-root without that copy, or draw other "
            f"samples: {' '.join(f'--set {name}=null' for name in seeded)}"
        )


def _other_data(data: Data, dataset: Dataset, made: str) -> IntegrityError:
    return IntegrityError(
        f"the store holds results for other data: {data.dataset.name!r} at {dataset.source} has "
        f"the digest {dataset.digest}, the stored stages were made from {made}. Use another "
        "--store, or the --data-root they were made with"
    )


class Lazily(Mapping[str, Any]):
    """A mapping whose values are made when they are first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def load_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy ``tensors`` into ``model``. Raises IntegrityError unless names, shapes, types agree."""
    check_weights(model, tensors)
    model.load_state_dict(dict(tensors))


def check_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises IntegrityError unless names, shapes and types are those of ``model``."""
    for fault in differing(model.state_dict(), tensors):
        raise IntegrityError(f"the stored weights do not fit the model: {fault}")
