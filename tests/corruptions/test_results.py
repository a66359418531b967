"""What a corruption may return, on its way through the store to the pools of a cell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import Component, catalogue, get
from harness.components.contracts import CorruptionTraits
from harness.corruptions.checking import checked
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.encodings import Features, Images, Tokens
from harness.data.pool import Pool
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError, IntegrityError
from harness.stages.material import Corrupted, corrupted, material_of
from harness.stages.stored_corruption import check_corruption, corruption_of, stored
from harness.store import Store

TOTAL, CLASSES = 20, 4
RAW = Images((1, 3, 3), mean=(0.0,), std=(1 / 255,))  # batches show the intensities
INPUTS = torch.randint(0, 256, (TOTAL, *RAW.shape), generator=torch.Generator().manual_seed(1))
SPLIT = Split(INPUTS.to(torch.uint8), torch.arange(TOTAL) % CLASSES)
DATA = dataset("small", SPLIT, SPLIT, tuple("abcd"), RAW, "here")
TRAINING, HELD_OUT = torch.arange(2, TOTAL), torch.arange(2)
KEY = "0" * 64


def cell(name: str = "none") -> Any:
    """As much of a cell as placing a corruption needs."""
    use = SimpleNamespace(name=name, settings=None)
    return SimpleNamespace(corruption=use)


def task(data: Dataset = DATA, **more: Any) -> CorruptionTask:
    return CorruptionTask(corruption="mine", rows=TRAINING, dataset=data, seed="s", **more)


def kept(found: Corruption, folder: Path, data: Dataset = DATA) -> dict[str, torch.Tensor]:
    """The tensors of its artifact, written and read."""
    made = checked(found, task(data), rule=True)
    store = Store(folder)
    tensors = {"train_rows": TRAINING, "validation_rows": HELD_OUT, **stored(made)}
    store.write("corrupt", KEY, {}, tensors)
    read = store.read("corrupt", KEY).tensors
    assert read is not None
    return read


def every(found: Corrupted, encoding: Any = RAW) -> torch.Tensor:
    """All of the training data as a batch."""
    count = len(found.train.targets)
    [batch] = Pool(
        found.train, torch.arange(count), encoding=encoding, before=found.changes
    ).ordered()
    return batch.x


def floats(count: int, seed: int = 0) -> torch.Tensor:
    return 300 * torch.rand(count, *RAW.shape, generator=torch.Generator().manual_seed(seed)) - 20


@pytest.fixture
def ruled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corruption ``ruled`` that adds its tensor ``noise``, by row, on the fly."""

    def rule(settings: Any, data: Dataset, tensors: Any) -> Any:
        return lambda inputs, rows: inputs + tensors["noise"][rows]

    get("corruptions", "none")
    mine = Component(
        "corruptions", "ruled", type(None), print, 1, "a test", CorruptionTraits(rule=rule)
    )
    known = {**catalogue.load("corruptions"), "ruled": mine}
    load = catalogue.load
    monkeypatch.setattr(
        catalogue, "load", lambda kind: known if kind == "corruptions" else load(kind)
    )


def test_the_rows_that_were_given_may_be_returned_themselves(tmp_path: Path) -> None:
    given_rows = task().rows
    read = kept(
        Corruption(given_rows, given_rows % CLASSES, tensors={"again": given_rows}), tmp_path
    )
    found = corruption_of(read)
    assert torch.equal(found.rows, TRAINING)
    assert torch.equal(found.tensors["again"], TRAINING)


def test_labels_and_inputs_stay_where_nothing_is_said_of_them(tmp_path: Path) -> None:
    found = corrupted(cell(), DATA, kept(Corruption(TRAINING), tmp_path))
    assert torch.equal(found.train.targets, SPLIT.targets)
    assert found.train.inputs is SPLIT.inputs
    assert found.changes == ()


@settings(max_examples=25)
@given(st.lists(st.integers(2, TOTAL - 1), unique=True), st.sampled_from(["inputs", "deltas"]))
def test_floats_reach_batches_unrounded_and_only_corrupted_rows_are_floats(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], form: str
) -> None:
    chosen, values = torch.tensor(rows, dtype=torch.int64), floats(len(rows))
    read = kept(Corruption(chosen, **{form: values}), tmp_path_factory.mktemp("store"))
    found = corrupted(cell(), DATA, read)
    expected = SPLIT.inputs.float()
    expected[chosen] = values if form == "inputs" else expected[chosen] + values
    assert torch.equal(every(found), RAW.batch(expected))
    assert found.train.inputs is SPLIT.inputs


def test_bytes_are_put_in_place(tmp_path: Path) -> None:
    values = torch.full((2, *RAW.shape), 7, dtype=torch.uint8)
    found = corrupted(cell(), DATA, kept(Corruption(torch.tensor([4, 9]), inputs=values), tmp_path))
    assert torch.equal(found.train.inputs[[4, 9]], values)
    assert found.changes == ()


def test_a_rule_makes_inputs_from_what_the_corruption_left(tmp_path: Path, ruled: None) -> None:
    rows, noise = torch.tensor([3, 11, 12]), floats(TOTAL)
    read = kept(Corruption(rows, rule=True, tensors={"noise": noise}), tmp_path)
    found = corrupted(cell("ruled"), DATA, read)
    expected = SPLIT.inputs.float()
    expected[rows] += noise[rows]
    assert torch.equal(every(found), RAW.batch(expected))
    with pytest.raises(IntegrityError, match="declares no trait 'rule'"):
        corrupted(cell("none"), DATA, read)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_added_samples_are_training_and_corrupted_ones(kind: str, tmp_path: Path) -> None:
    more = floats(3, seed=5) if kind == "float32" else INPUTS[:3].to(torch.uint8)
    values = floats(2, seed=6)
    rows = torch.tensor([5, 8])
    read = kept(
        Corruption(rows, rows * 0, inputs=values, added=Split(more, torch.tensor([1, 1, 3]))),
        tmp_path,
    )
    found = corrupted(cell(), DATA, read)
    expected = torch.cat([SPLIT.inputs.float(), more.float()])
    expected[rows] = values
    assert torch.equal(every(found), RAW.batch(expected))
    assert found.rows.tolist() == [5, 8, 20, 21, 22]
    assert found.train.targets[[5, 8, 20, 21, 22]].tolist() == [0, 0, 1, 1, 3]
    root: Any = None
    material = material_of(whole_cell(), DATA, found, read, root, torch.device("cpu"))
    assert material.train_rows.tolist() == [*range(2, 23)]
    assert material.dataset_rows.tolist() == [*range(2, 20)]
    assert material.forget.tolist() == [5, 8, 20, 21, 22]
    assert material.retain.tolist() == [r for r in range(2, 20) if r not in (5, 8)]
    [batch] = material.pool(material.forget, ()).ordered()
    assert torch.equal(batch.x, RAW.batch(expected[found.rows]))
    both = material.pool(material.retain, ()).joined(material.pool(material.forget, ()))
    [batch] = both.ordered()
    assert torch.equal(batch.x, RAW.batch(expected[batch.row]))


def whole_cell() -> Any:
    """The cell of a plan, as seeds are drawn from its data set."""
    from harness.plan.stage import Cell
    from harness.spec.blocks import Data, Train
    from harness.spec.seeds import Seeds
    from harness.spec.structure import structure_block, structure_use

    data = structure_block(Data, {"dataset": "digits"})
    train = structure_block(Train, {"steps": 1})
    forget = structure_use("forget_sets", {"set": "corrupted"})
    corruption, model = structure_use("corruptions", "none"), structure_use("models", "mlp")
    return Cell(Seeds(0, 0, 0), data, corruption, model, train, forget, {})


def test_samples_keep_the_rows_of_the_training_data_in_every_pool(tmp_path: Path) -> None:
    read = kept(Corruption(torch.tensor([5, 8])), tmp_path)
    found = corrupted(cell(), DATA, read)
    root: Any = None
    material = material_of(whole_cell(), DATA, found, read, root, torch.device("cpu"))
    material = attrs.evolve(material, trigger=lambda x: x)
    assert material.triggered(DATA.train, torch.tensor([5, 8])).rows.tolist() == [5, 8]
    assert material.clean(DATA.train, torch.tensor([1, 7])).rows.tolist() == [1, 7]


def test_vectors_may_be_moved_and_tokens_may_not(tmp_path: Path) -> None:
    vectors = Split(torch.randn(TOTAL, 5), SPLIT.targets)
    data = dataset("vectors", vectors, vectors, tuple("abcd"), Features(5), "here")
    rows, deltas = torch.tensor([6]), torch.ones(1, 5)
    found = corrupted(cell(), data, kept(Corruption(rows, deltas=deltas), tmp_path, data))
    assert torch.equal(every(found, Features(5))[6], vectors.inputs[6] + 1)
    words = Split(torch.zeros(TOTAL, 5, dtype=torch.int32), SPLIT.targets)
    text = dataset("words", words, words, tuple("abcd"), Tokens(5, 9), "here")
    with pytest.raises(HarnessError, match="deltas cannot be added to tokens"):
        checked(Corruption(rows, deltas=deltas), task(text), rule=False)
    with pytest.raises(HarnessError, match="int32"):
        checked(Corruption(rows, inputs=deltas), task(text), rule=False)


ROWS = torch.tensor([4, 5])
WRONG = [
    (Corruption([4, 5]), "rows are list; int64"),
    (Corruption(ROWS.int()), r"rows are int32 \[2\]; int64 \[m\] is needed"),
    (Corruption(torch.tensor([4, 4])), "a row is given twice"),
    (Corruption(torch.tensor([4, 1])), "row 1 is not among the 18 training rows"),
    (Corruption(torch.tensor([20])), "row 20 is not among"),
    (Corruption(ROWS, torch.tensor([0])), "1 targets for 2 samples"),
    (Corruption(ROWS, torch.tensor([0, 4])), "targets: class 4 does not exist; there are 4"),
    (Corruption(ROWS, torch.tensor([0.0, 1.0])), r"targets are float32 \[2\]"),
    (Corruption(ROWS, inputs=floats(2), deltas=floats(2)), "inputs and deltas are given"),
    (Corruption(ROWS, deltas=floats(2), rule=True), "deltas and rule are given"),
    (Corruption(ROWS, rule=True), "declares no trait 'rule'"),
    (Corruption(ROWS, inputs=floats(3)), "3 inputs for 2 rows"),
    (Corruption(ROWS, inputs=floats(2).double()), r"inputs are float64 .* uint8 or float32 \[m, 1, 3, 3\]"),
    (Corruption(ROWS, inputs=floats(2)[..., :2]), r"inputs are float32 \[2, 1, 3, 2\]"),
    (Corruption(ROWS, inputs=floats(2) / 0), "inputs are not finite"),
    (Corruption(ROWS, deltas=floats(2).half()), r"deltas are float16 .*; float32"),
    (Corruption(ROWS, added=Split(floats(2), torch.tensor([1]))), "1 added targets for 2 samples"),
    (Corruption(ROWS, added=Split(floats(1), torch.tensor([9]))), "added targets: class 9"),
    (Corruption(ROWS, tensors={"noise": 3}), "found int at 'noise'"),
    (Corruption(ROWS, added=floats(2)), "added is Tensor; a Split is needed"),
    (None, "gave NoneType; a Corruption is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "words"), WRONG)
def test_what_cannot_be_is_refused_with_the_corruptions_name(found: Any, words: str) -> None:
    with pytest.raises(HarnessError, match=f"the corruption 'mine'.*{words}"):
        checked(found, task(), rule=False)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rows", torch.tensor([1]), "row 1 is not among"),
        ("targets", torch.tensor([0, 0, 0]), "3 targets for 2 samples"),
        ("deltas", floats(2), "inputs and deltas"),
        ("noise", floats(2), "nothing is known of 'noise'"),
        ("added.inputs", floats(2), "lack inputs or labels"),
        ("train_rows", torch.arange(3, TOTAL), "are not the data set's, each once"),
        ("validation_rows", torch.tensor([0.0, 1.0]), "are no row numbers"),
        ("train_rows", torch.arange(3, TOTAL + 1), "names a row that does not exist"),
    ],
)
def test_an_artifact_of_other_data_is_refused(
    name: str, value: torch.Tensor, words: str, tmp_path: Path
) -> None:
    read = kept(Corruption(ROWS, ROWS * 0, floats(2)), tmp_path)
    check_corruption(read, DATA, rule=False)
    with pytest.raises(IntegrityError, match=f"does not fit the data: .*{words}"):
        check_corruption({**read, name: value}, DATA, rule=False)
    with pytest.raises(IntegrityError, match="'rows' is missing"):
        check_corruption({n: v for n, v in read.items() if n != "rows"}, DATA, rule=False)


def test_a_purpose_draws_the_same_numbers_at_each_call() -> None:
    asked = task()
    first, again = (asked.generator().initial_seed() for _ in range(2))
    assert first == again != asked.generator("other").initial_seed()
