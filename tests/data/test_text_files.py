"""Texts from files of three kinds, and their tokenizers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.data import text_files, tokenizing
from harness.data.datasets import text as datasets
from harness.data.tokenizing import Bytes, begins_word, excerpts, pretrained, tokenizer_of, trained
from harness.data.types import DataRoot, Dataset
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use

REVIEWS = [
    ("a fine film, truly fine", "good"),
    ('said "no"\nand left, bored', "bad"),
    ("naïve café 🎬 fine", "good"),
    ("bored and bored again", "bad"),
]
SENTENCES = [text for text, _ in REVIEWS]
SHA = "0123456789abcdef0123456789abcdef01234567"
Rows = list[tuple[str, Any]]


def as_parquet(file: Path, rows: Rows) -> None:
    texts, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"id": range(len(rows)), "text": texts, "label": labels}), file)


def as_csv(file: Path, rows: Rows) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("label", "text"), *((b, a) for a, b in rows)])


def as_jsonl(file: Path, rows: Rows) -> None:
    lines = [json.dumps({"text": text, "label": label, "more": None}) for text, label in rows]
    file.write_text("\n".join(lines) + "\n\n", encoding="utf-8")


KINDS: dict[str, Callable[[Path, Rows], None]] = {
    "parquet": as_parquet, "csv": as_csv, "jsonl": as_jsonl,
}  # fmt: skip


def written(root: Path, kind: str, train: Rows, test: Rows | None = None) -> Path:
    folder = root / "reviews"
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", train), ("test", test or train[:2])):
        KINDS[kind](folder / f"{part}.{kind}", rows)
    return root


def load(root: Path, cache: Path | None = None, **chosen: Any) -> Dataset:
    plain = {"name": "text_files", "folder": "reviews", "length": 12, **chosen}
    use = structure_use("datasets", plain)
    found: Dataset = get("datasets", "text_files").function(
        use.settings, DataRoot(root, offline=True, cache=cache)
    )
    return found


@pytest.mark.parametrize("tokenizer", [{}, {"tokenizer": "bpe", "vocabulary": 270}])
def test_a_set_is_the_same_from_each_kind_of_file(tokenizer: dict, tmp_path: Path) -> None:
    found = {kind: load(written(tmp_path / kind, kind, REVIEWS), **tokenizer) for kind in KINDS}
    assert len({each.digest for each in found.values()}) == 1
    for each in found.values():
        assert each.classes == ("bad", "good")
        assert each.train.targets.tolist() == [1, 0, 1, 0]
        assert each.encoding == declared(**tokenizer).encoding


def declared(**chosen: Any) -> Any:
    use = structure_use("datasets", {"name": "text_files", "folder": "x", "length": 12, **chosen})
    return get("datasets", "text_files").traits.facts(use.settings)


some_text = st.text(min_size=1).filter(lambda text: text.strip() != "")
some_label = st.integers(-9, 9) | st.text("ab0-", min_size=1, max_size=3)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(some_text, some_label), min_size=1, max_size=4))
def test_every_kind_of_file_gives_back_what_was_written(rows: Rows, tmp_path: Path) -> None:
    for kind, write in KINDS.items():
        file = tmp_path / f"train.{kind}"
        write(file, [(text, str(label)) for text, label in rows])
        found = text_files.read([file], "text", "label")
        assert list(found.texts) == [text for text, _ in rows]
        assert list(found.labels) == [str(label) for _, label in rows]


@settings(max_examples=40)
@given(st.lists(some_label, min_size=1))
def test_classes_are_the_labels_in_order_of_numbers_or_letters(labels: list[Any]) -> None:
    names = text_files.class_names([str(label) for label in labels])
    assert set(names) == {str(label) for label in labels}
    if all(isinstance(label, int) for label in labels):
        assert list(map(int, names)) == sorted(set(labels))


WRONG: list[tuple[str, str, str]] = [
    ("train.csv", "text,label\nfine,1\nbad\n", r"train\.csv:3, row 2: 1 columns; 2 are needed"),
    ("train.csv", "text,class\nfine,1\n", r"columns text and label are needed; found text, class"),
    ("train.csv", 'text,label\n"fine,1\n', r"train\.csv:\d+: no CSV"),
    ("train.csv", "text,label\nfine,\n", r"train\.csv:2, row 1, column 'label': nothing; a label"),
    ("train.csv", "text,label\n , 1\n", r"train\.csv:2, row 1, column 'text': ' ' is no text"),
    ("train.csv", "text,label\n", "it has no row"),
    ("train.jsonl", '{"text": "a"}\n', r"train\.jsonl:1: columns text and label .* found text"),
    ("train.jsonl", '{"text": "a", "label": 1}\n[]\n', r"train\.jsonl:2: .* found list"),
    ("train.jsonl", '{"text": "a", "label": 1}\n{\n', r"train\.jsonl:2: no JSON"),
    ("train.jsonl", "[" * 99_999, r"train\.jsonl:1: no JSON"),
    ("train.jsonl", '{"text": "a", "label": 1.5}', r"jsonl:1, column 'label': 1\.5; a label is"),
    ("train.jsonl", '{"text": 3, "label": 1}', r"jsonl:1, column 'text': 3 is no text"),
    ("train.jsonl", '{"text": "a", "label": true}', r"column 'label': True; a label is a whole"),
    (
        "train.jsonl",
        '{"text": "\\ud800", "label": 1}',
        r"train\.jsonl:1: no JSON: .*surrogates not allowed",
    ),
    ("train.parquet", "junk", r"train\.parquet: not a parquet file"),
    ("train-1.jsonl", "", r"files of one kind are needed for train; found train-1.jsonl, train"),
]


@pytest.mark.parametrize(("name", "content", "words"), WRONG)
def test_what_is_wrong_with_a_file_is_named_with_its_row_and_column(
    name: str, content: str, words: str, tmp_path: Path
) -> None:
    root = written(tmp_path, "csv", REVIEWS)
    if "-" not in name:
        (root / "reviews" / "train.csv").unlink()
    (root / "reviews" / name).write_text(content)
    with pytest.raises(HarnessError, match=words):
        load(root)


def test_classes_that_differ_from_the_spec_or_from_training_are_refused(tmp_path: Path) -> None:
    root = written(tmp_path, "csv", REVIEWS)
    with pytest.raises(
        HarnessError, match=r"has 2 classes \(bad, good\), the spec says classes: 3"
    ):
        load(root, classes=3)
    root = written(tmp_path, "csv", REVIEWS, [("so so", "middling")])
    with pytest.raises(HarnessError, match=r"test\.csv:2.*no training text has .*'middling'"):
        load(root)


def test_folders_elsewhere_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="leaves the data root"):
        load(tmp_path, folder="..")
    with pytest.raises(RemoteError, match=r"no train-\*\.parquet, train\.csv or train\.jsonl in"):
        load(tmp_path)


BPE = {"tokenizer": "bpe", "vocabulary": 280}


def test_a_bpe_is_learnt_from_training_texts_only_and_is_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = written(tmp_path, "csv", REVIEWS), tmp_path / "cache"
    fresh = [load(root, **BPE) for _ in range(2)]
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    fresh.append(load(root, cache, **BPE))
    other = load(written(tmp_path / "b", "csv", REVIEWS, [("zebra zebra", "bad")]), **BPE)
    monkeypatch.setattr(datasets, "trained", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(text_files, "read", lambda *_: pytest.fail("read again"))
    fresh.append(load(root, cache, **BPE))
    assert len({each.digest for each in fresh}) == 1
    assert len({each.tokenizer.written for each in [*fresh, other] if each.tokenizer}) == 1
    [kept] = cache.glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(BaseException, match="read again"):
        load(root, cache, **BPE)


@settings(max_examples=30)
@given(st.lists(st.text(), min_size=1, max_size=3), st.integers(1, 9))
def test_a_bpe_loses_nothing_and_its_tokens_are_cut_and_padded(texts: list[str], n: int) -> None:
    for tokenizer in (Bytes(), LEARNT):
        assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts
        for text, row in zip(texts, tokenizer.tokens(texts, n).tolist(), strict=True):
            start = tokenizer.encode(text)[:n]
            assert row == start + [-1] * (n - len(start))


LEARNT = trained(SENTENCES, 290)


def test_frequent_pairs_become_tokens_within_words() -> None:
    assert 256 < LEARNT.size <= 290
    assert len(LEARNT.encode(" bored")) < len(Bytes().encode(" bored"))
    begins = begins_word(LEARNT)
    for word in (" bored", " fine"):
        first, *rest = LEARNT.encode(f"a{word}")[1:]
        assert begins[first]
        assert not begins[rest].any()
    spaces = [byte for byte in range(128) if chr(byte).isspace()]
    assert begins_word(Bytes()).nonzero().squeeze(1).tolist() == spaces


def test_a_tokenizer_that_is_none_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"tokenizer\.json cannot be read"):
        tokenizer_of('{"version": 3}')


def test_a_published_tokenizer_comes_from_the_hub_at_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    file = tmp_path / "tokenizer.json"
    file.write_text(LEARNT.written)
    asked: dict[str, Any] = {}

    def download(repo: str, name: str, **how: Any) -> str:
        asked.update(how, repo=repo, name=name)
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    chosen = {"tokenizer": "pretrained", "repo": "a/b", "revision": SHA, "vocabulary": LEARNT.size}
    found = load(written(tmp_path, "csv", REVIEWS), **chosen)
    assert torch.equal(found.train.inputs, LEARNT.tokens(SENTENCES, 12))
    assert (asked["repo"], asked["name"], asked["revision"]) == ("a/b", "tokenizer.json", SHA)
    assert asked["local_files_only"]
    with pytest.raises(HarnessError, match=r"has \d+ tokens; the spec says 999"):
        pretrained("a/b", SHA, 999, offline=True)
    monkeypatch.undo()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(RemoteError, match=r"tokenizer\.json of a/b at 0123456789ab could not"):
        pretrained("a/b", SHA, 999, offline=True)


def test_an_excerpt_shows_what_stands_round_the_change() -> None:
    before, after = "x" * 500, "x" * 250 + "HERE" + "x" * 250
    clean, changed = (Bytes().tokens([text], 600) for text in (before, after))
    [shown] = excerpts(Bytes(), clean, changed)
    assert shown == "…" + "x" * tokenizing.BEFORE + "HERE" + "x" * 136 + "…"
