"""Text as bytes: by hand, from parquet files, and through a training on token batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from harness.components import get
from harness.data.encodings import TokenBatch
from harness.data.pool import Pool
from harness.data.tokenizing import Bytes
from harness.data.types import DataRoot, Dataset
from harness.errors import HarnessError, RemoteError
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.seeding import generator

REAL = ROOT.parent / "shared" / "data"


@given(st.lists(st.text(), min_size=1, max_size=4), st.integers(1, 12))
def test_tokens_are_the_first_bytes_and_then_padding(texts: list[str], length: int) -> None:
    found = Bytes().tokens(texts, length)
    assert (found.shape, found.dtype) == ((len(texts), length), torch.int32)
    for text, row in zip(texts, found.tolist(), strict=True):
        start = list(text.encode())[:length]
        assert row == start + [-1] * (length - len(start))


def reviews(folder: Path, **columns: list[Any]) -> DataRoot:
    (folder / "imdb").mkdir()
    for part in ("train", "test"):
        pq.write_table(pa.table(columns), folder / "imdb" / f"{part}-00000-of-00001.parquet")
    return DataRoot(folder, offline=True)


def load(root: DataRoot, **settings: Any) -> Dataset:
    use = structure_use("datasets", {"name": "imdb", **settings})
    found: Dataset = get("datasets", "imdb").function(use.settings, root)
    return found


class MeanByte(torch.nn.Module):
    """Logits from the mean embedding of the bytes that are there; takes one argument."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(256, 8), torch.nn.Linear(8, 2)

    def forward(self, x: TokenBatch) -> torch.Tensor:
        weights = x.mask[..., None].float()
        return self.head((self.embedding(x.ids) * weights).sum(1) / weights.sum(1))


def test_a_model_learns_from_token_batches(tmp_path: Path) -> None:
    texts = ["good " * (1 + i % 3) if i % 2 else "bad " * (1 + i % 4) for i in range(40)]
    data = load(reviews(tmp_path, text=texts, label=[i % 2 for i in range(40)]), length=12)
    pool = Pool(data.train, torch.arange(40), encoding=data.encoding)
    recipe = structure_block(
        Train, {"steps": 60, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.5}}
    )
    torch.manual_seed(0)
    model = MeanByte()
    fit(model, pool, recipe, generator=lambda purpose: generator("text", purpose))
    [batch] = Pool(data.test, torch.arange(40), encoding=data.encoding).ordered()
    assert bool((model(batch.x).argmax(1) == batch.y).all())


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="needs a --data-root"):
        load(DataRoot(None, offline=True))
    with pytest.raises(RemoteError, match=r"no train-\*.parquet.*hf download stanfordnlp/imdb"):
        load(DataRoot(tmp_path, offline=True))
    with pytest.raises(HarnessError, match="columns text and label are needed"):
        load(reviews(tmp_path, words=["a"], label=[0]))


def test_the_real_reviews_are_read() -> None:
    if not (REAL / "imdb").is_dir():
        pytest.skip("the real data are not here")
    found = load(DataRoot(REAL, offline=True), length=64)
    facts = get("datasets", "imdb").traits.facts(
        structure_use("datasets", {"name": "imdb", "length": 64}).settings
    )
    assert facts.encoding == found.encoding
    for split, count in ((found.train, facts.train), (found.test, facts.test)):
        assert tuple(split.inputs.shape) == (count, 64)
        assert torch.bincount(split.targets).tolist() == [12_500, 12_500]
    assert bool((found.train.inputs[:, :52] >= 0).all())  # the shortest review has 52 bytes
