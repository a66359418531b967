"""Text data sets, as ids of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from harness.components import Facts, component, setting
from harness.data import parquet
from harness.data.encodings import Tokens
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.errors import HarnessError, RemoteError
from harness.lazy import np, torch

BYTES = 256
HUB = "stanfordnlp/imdb"


@frozen
class Text:
    """Settings of ``imdb``."""

    length: int = setting(
        1024,
        doc="tokens of a sample; longer texts are cut, shorter ones padded",
        unit="tokens",
        ge=1,
    )
    tokenizer: Literal["bytes"] = setting(
        "bytes", doc="bytes: each byte of the text in UTF-8 is a token, of 256"
    )


@component(
    "datasets",
    "imdb",
    settings=Text,
    source="Maas et al., ACL 2011: Large Movie Review Dataset",
    facts=lambda s: Facts(Tokens(s.length, BYTES), 2, train=25_000, test=25_000),
)
def imdb(settings: Text, root: DataRoot) -> Dataset:
    """IMDb: 25,000 + 25,000 movie reviews, negative or positive, int32 [N, length].

    The start of each review as bytes 0 to 255, then -1. Read from ``imdb/train-*.parquet`` and
    ``imdb/test-*.parquet`` below the data root, the Hub's layout, with columns text and label.

    Raises:
        RemoteError: the files are not there; texts are never downloaded here.
        HarnessError: a file is no parquet file, or lacks a column.
    """
    if root.folder is None:
        raise RemoteError("imdb needs a --data-root with imdb/train-*.parquet and test-*.parquet")
    folder = root.folder / "imdb"
    train, test = (_read(folder, part, settings.length) for part in ("train", "test"))
    encoding = Tokens(settings.length, BYTES)
    return dataset("imdb", train, test, ("negative", "positive"), encoding, str(folder))


def _read(folder: Path, part: str, length: int) -> Split:
    import pyarrow
    import pyarrow.parquet

    files = parquet.find(folder, part) or parquet.find(folder / "plain_text", part)
    if not files:
        raise RemoteError(
            f"no {part}-*.parquet in {folder}; run once online: "
            f"hf download {HUB} --repo-type dataset --local-dir {folder}"
        )
    texts: list[str] = []
    labels: list[int] = []
    for file in files:
        try:
            table = pyarrow.parquet.read_table(file, columns=["text", "label"])
        except (pyarrow.ArrowException, KeyError) as problem:
            raise HarnessError(f"{file}: columns text and label are needed: {problem}") from None
        texts += table["text"].to_pylist()
        labels += table["label"].to_pylist()
    return Split(byte_tokens(texts, length), torch.tensor(labels, dtype=torch.int64))


def byte_tokens(texts: Sequence[str], length: int) -> torch.Tensor:
    """The first bytes of each text in UTF-8, int32 [N, length], -1 where it is shorter."""
    ids = np.full((len(texts), length), -1, dtype="int32")
    for row, text in zip(ids, texts, strict=True):
        start = np.frombuffer(text.encode()[:length], dtype="uint8")
        row[: len(start)] = start
    return torch.from_numpy(ids)
