"""Text data sets, as ids of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os.path import realpath
from pathlib import Path
from typing import Literal

import attrs
from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data import cache, text_files
from harness.data.encodings import Tokens
from harness.data.tokenizing import BYTES, Bytes, Tokenizer, pretrained, tokenizer_of, trained
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.errors import HarnessError, RemoteError
from harness.lazy import torch

HUB = "stanfordnlp/imdb"
DECODER = "1"  # part of the cache's name; raised when texts become other tokens
# What each tokenizer needs beside its name.
NEEDS = {
    "bytes": frozenset[str](),
    "bpe": frozenset({"vocabulary"}),
    "pretrained": frozenset({"vocabulary", "repo", "revision"}),
}


@frozen
class Text:
    """Settings of ``imdb``, and of every text data set."""

    length: int = setting(
        1024,
        doc="tokens of a sample; longer texts are cut, shorter ones padded",
        unit="tokens",
        ge=1,
    )
    tokenizer: Literal["bytes", "bpe", "pretrained"] = setting(
        "bytes",
        doc="bytes: each byte of the text in UTF-8 is a token, of 256; bpe: byte-level BPE, learnt "
        "from all texts of the training split; pretrained: that of a repository on the Hub",
    )
    vocabulary: int | None = setting(
        None,
        doc="different tokens: of bpe as many as are learnt, of pretrained as many as it has",
        unit="tokens",
        ge=BYTES,
        later=True,
    )
    repo: str | None = setting(
        None,
        doc="of pretrained: repository on the Hub with a tokenizer.json",
        pattern=r"^(?!.*\.\.)\w[\w.-]*(/\w[\w.-]*)?$",
        later=True,
    )
    revision: str | None = setting(
        None, doc="of pretrained: commit of repo", pattern=r"^[0-9a-f]{40}$", later=True
    )

    @property
    def encoding(self) -> Tokens:
        """What one text is."""
        return Tokens(self.length, self.vocabulary or BYTES)


def misfits(settings: Text, facts: Facts) -> Iterator[Misfit]:
    """What a tokenizer lacks or does not know (trait ``check``)."""
    kind = settings.tokenizer
    for name in ("vocabulary", "repo", "revision"):
        given = getattr(settings, name) is not None
        if given and name not in NEEDS[kind]:
            known = [f"{k} ({', '.join(sorted(NEEDS[k]))})" for k in NEEDS if name in NEEDS[k]]
            yield Misfit(name, f"tokenizer {kind} takes none; it is of {' and '.join(known)}")
        if not given and name in NEEDS[kind]:
            yield Misfit("tokenizer", f"{kind} needs {name} beside it")


@component(
    "datasets",
    "imdb",
    settings=Text,
    source="Maas et al., ACL 2011: Large Movie Review Dataset",
    facts=lambda s: Facts(s.encoding, 2, train=25_000, test=25_000),
    check=misfits,
)
def imdb(settings: Text, root: DataRoot) -> Dataset:
    """IMDb: 25,000 + 25,000 movie reviews, negative or positive, int32 [N, length].

    The start of each review as tokens, then -1. Read from ``imdb/train-*.parquet`` and
    ``imdb/test-*.parquet`` below the data root, the Hub's layout, with columns text and label.

    Raises:
        RemoteError: the files are not there; texts are never downloaded here.
        HarnessError: a file is no parquet file, or lacks a column.
    """
    if root.folder is None:
        raise RemoteError("imdb needs a --data-root with imdb/train-*.parquet and test-*.parquet")
    folder = root.folder / "imdb"
    if not text_files.find(folder, "train"):
        folder = folder / "plain_text"
    hint = f"hf download {HUB} --repo-type dataset --local-dir {root.folder / 'imdb'}"
    found = _load("imdb", folder, ("text", "label"), settings, root, f"run once online: {hint}")
    return attrs.evolve(found, classes=("negative", "positive"))


@frozen
class TextFiles(Text):
    """Settings of ``text_files``."""

    folder: str = setting(
        doc="folder below the data root, with train.* and test.* as parquet, csv or jsonl",
        example="reviews",
    )
    text: str = setting("text", doc="column of the texts")
    label: str = setting("label", doc="column of the labels, whole numbers or words")
    classes: int = setting(2, doc="number of different labels", unit="classes", ge=2)


@component(
    "datasets",
    "text_files",
    settings=TextFiles,
    source="two columns of parquet, CSV or JSON lines, as of most text sets on the Hub",
    facts=lambda s: Facts(s.encoding, s.classes, train=None, test=None),
    check=misfits,
)
def text_files_set(settings: TextFiles, root: DataRoot) -> Dataset:
    """Texts with labels in ``FOLDER/train.*`` and ``FOLDER/test.*``: int32 [N, length].

    Files are ``.parquet``, ``.csv`` with a header, or ``.jsonl``, in one piece or as
    ``train-*.parquet``. Classes are the labels in order.

    Raises:
        HarnessError: the folder leaves the data root; a file, a row or a label is not what it
            should be; or there are not as many classes as the spec says.
        RemoteError: the files are not there.
    """
    if root.folder is None:
        raise RemoteError("text_files needs a --data-root")
    folder = Path(realpath(root.folder / settings.folder))
    if not folder.is_relative_to(realpath(root.folder)):
        raise HarnessError(f"{settings.folder!r} leaves the data root")
    columns = settings.text, settings.label
    found = _load("text_files", folder, columns, settings, root, "put it there")
    if len(found.classes) != settings.classes:
        raise HarnessError(
            f"{folder} has {len(found.classes)} classes ({', '.join(found.classes[:10])}), "
            f"the spec says classes: {settings.classes}"
        )
    return found


def _load(
    name: str,
    folder: Path,
    columns: tuple[str, str],
    settings: Text,
    root: DataRoot,
    hint: str,
) -> Dataset:
    """Both splits in ``folder``, as tokens; from the cache where they were read before."""
    files = [text_files.find(folder, part) for part in ("train", "test")]
    for part, there in zip(("train", "test"), files, strict=True):
        if not there:
            raise RemoteError(
                f"no {part}-*.parquet, {part}.csv or {part}.jsonl in {folder}; {hint}"
            )
    every = [getattr(settings, field.name) for field in attrs.fields(Text)]
    kept = None
    if root.cache is not None:
        key = cache.name([*files[0], *files[1]], DECODER, len(files[0]), *columns, *every)
        kept = root.cache / f"{key}.safetensors"
    known = cache.read(kept) if kept is not None else None
    if known is None:
        known = _tokens(files, columns, settings, root)
        if kept is not None:
            cache.write(kept, *known)
    tensors, texts = known
    train, test = (
        Split(tensors[f"{part}.inputs"], tensors[f"{part}.targets"]) for part in ("train", "test")
    )
    classes = tuple(json.loads(texts["classes"]))
    tokenizer = tokenizer_of(texts["tokenizer"])
    return dataset(name, train, test, classes, settings.encoding, str(folder), tokenizer=tokenizer)


def _tokens(
    files: list[list[Path]], columns: tuple[str, str], settings: Text, root: DataRoot
) -> cache.Kept:
    """The splits' tensors, and beside them the classes and the tokenizer."""
    train, test = (text_files.read(part, *columns) for part in files)
    if not train.texts or not test.texts:
        raise HarnessError(f"{files[bool(train.texts)][0]}: it has no row")
    names = text_files.class_names(train.labels)
    tokenizer = _tokenizer(train, settings, root)
    tensors = {}
    for part, found in (("train", train), ("test", test)):
        tensors[f"{part}.inputs"] = tokenizer.tokens(found.texts, settings.length)
        tensors[f"{part}.targets"] = torch.tensor(text_files.numbered(found, names, columns[1]))
    return tensors, {"classes": json.dumps(names), "tokenizer": tokenizer.written}


def _tokenizer(train: text_files.Texts, settings: Text, root: DataRoot) -> Tokenizer:
    size = settings.vocabulary or BYTES
    if settings.tokenizer == "bpe":
        return trained(train.texts, size)
    if settings.repo is None or settings.revision is None:
        return Bytes()
    return pretrained(settings.repo, settings.revision, size, root.offline)
