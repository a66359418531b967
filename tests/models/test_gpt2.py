"""GPT-2 on padded texts, with noise on its vectors, from a checkpoint, and through a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import save_file

from conftest import Cli
from harness import load, load_model
from harness.api import _model
from harness.components import get
from harness.corruptions.checking import checked
from harness.corruptions.task import CorruptionTask
from harness.data.changes import Change, Replacement, marks
from harness.data.encodings import TokenBatch, Tokens
from harness.data.pool import Pool
from harness.data.types import Split, dataset
from harness.errors import HarnessError, RemoteError
from harness.plan.cost import flops_per_sample
from harness.plan.model_config import config, described
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.stages.material import corrupted, material_of
from harness.stages.stored_corruption import stored
from harness.store import Store
from harness.training.loop import fit
from harness.training.seeding import generator, seeded_build

SMALL = {"name": "gpt2", "layers": 2, "heads": 2, "width": 16, "context": 16, "dropout": 0.2}
TEXTS = Tokens(length=12, vocabulary=300)
LENGTHS = (3, 12, 7, 1)
COMMIT = "0123456789" * 4


def build(seed: str = "a", **settings: Any) -> Any:
    use = structure_use("models", {**SMALL, **settings})
    function = get("models", "gpt2").function
    return seeded_build(lambda: function(use.settings, TEXTS, 3), seed).eval()


def texts(count: int = len(LENGTHS)) -> torch.Tensor:
    """Ids as they are stored, of the lengths above in turn."""
    draws = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 300, (count, 12), generator=draws, dtype=torch.int32)
    for row, found in enumerate(ids):
        found[LENGTHS[row % len(LENGTHS)] :] = -1
    return ids


@pytest.fixture(scope="module")
def model() -> Any:
    return build()


def test_a_text_has_the_same_logits_alone_and_among_longer_ones(model: Any) -> None:
    batch = TEXTS.batch(texts())
    together = model(batch)
    for row, count in enumerate(LENGTHS):
        alone = model(
            TokenBatch(batch.ids[row : row + 1, :count], batch.mask[row : row + 1, :count])
        )
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)
    assert len(together.unique()) == together.numel()


def test_nothing_that_stands_at_padding_is_read(model: Any) -> None:
    batch = TEXTS.batch(texts())
    shift = 9 * torch.randn(*batch.ids.shape, 16) * ~batch.mask.unsqueeze(2)
    other = TokenBatch(torch.where(batch.mask, batch.ids, 299), batch.mask, shift)
    assert torch.equal(model(other), model(batch))


def test_the_gradient_of_a_shift_of_zero_is_that_of_the_embeddings(model: Any) -> None:
    batch, kept = TEXTS.batch(texts()), []
    hook = model.embedding.tokens.register_forward_hook(lambda *call: kept.append(call[-1]))
    loss = model(batch).square().sum()
    hook.remove()
    [expected] = torch.autograd.grad(loss, kept)
    shift = torch.zeros(*batch.ids.shape, 16, requires_grad=True)
    [found] = torch.autograd.grad(model(batch._replace(shift=shift)).square().sum(), shift)
    assert expected.any()
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)


def test_a_shift_of_another_width_says_both(model: Any) -> None:
    with pytest.raises(HarnessError, match=r"is \[12, 8\]; they are \[12, 16\]"):
        model(TEXTS.batch(texts())._replace(shift=torch.zeros(4, 12, 8)))


def published(folder: Path, **changes: Any) -> Any:
    """A checkpoint of ``lab/tiny`` in a Hub's cache, and the library's own model."""
    from transformers import GPT2Config, GPT2Model

    own = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=16, vocab_size=310)
    torch.manual_seed(5)
    gpt = GPT2Model(own).eval()
    place = folder / "models--lab--tiny" / "snapshots" / COMMIT
    place.mkdir(parents=True)
    place.joinpath("config.json").write_text(json.dumps({**own.to_dict(), **changes}))
    weights = {f"transformer.{name}": value for name, value in gpt.state_dict().items()}
    # What published files have beside the weights: masks as buffers, and other heads.
    weights |= {"h.0.attn.bias": torch.ones(1, 1, 16, 16), "lm_head.weight": torch.zeros(310, 16)}
    save_file(weights, place / "model.safetensors")
    return gpt


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache of somebody who is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    return tmp_path


PRETRAINED = {"vocabulary": 310, "pretrained": "lab/tiny", "revision": COMMIT}


def test_published_weights_give_what_the_library_gives_with_them(cache: Path) -> None:
    gpt = published(cache)
    ours, batch = build(**PRETRAINED), TEXTS.batch(texts())
    with torch.no_grad():
        theirs = gpt(input_ids=batch.ids, attention_mask=batch.mask.long()).last_hidden_state
    last = theirs[torch.arange(4), torch.tensor(LENGTHS) - 1]
    torch.testing.assert_close(ours(batch), last @ ours.head.weight.T, atol=1e-5, rtol=1e-4)


def test_the_network_of_published_weights_is_known_without_them() -> None:
    use = structure_use("models", {**SMALL, **PRETRAINED})
    same = structure_use("models", {**SMALL, "vocabulary": 310})
    found = flops_per_sample(use, TEXTS, 3)
    assert found == flops_per_sample(same, TEXTS, 3)
    # Per token and block 2 * (3 + 1 + 4 + 4) * 16^2, attention 4 * 12 * 16; the head.
    assert found == 12 * 2 * (24 * 16**2 + 4 * 12 * 16) + 2 * 16 * 3


def test_weights_that_are_not_there_or_of_another_network_are_named(cache: Path) -> None:
    with pytest.raises(RemoteError, match="of lab/tiny at .* could not be had"):
        build(**PRETRAINED)
    published(cache, n_head=4)
    with pytest.raises(HarnessError, match="lab/tiny has n_head 4; the spec's heads is 2"):
        build(**PRETRAINED)
    with pytest.raises(RemoteError, match="could not be had"):  # of another commit
        build(**{**PRETRAINED, "revision": "f" * 40})


def test_noise_is_added_to_the_vectors_of_the_corrupted_texts_alone() -> None:
    data = dataset("t", Split(texts(40), torch.arange(40) % 2), Split(texts(), torch.zeros(4).long()),
                   ("a", "b"), TEXTS, "here")  # fmt: skip
    use = structure_use("corruptions", {"name": "gaussian", "std": 0.5, "count": 15, "width": 16})
    rows = torch.arange(4, 40)
    task = CorruptionTask(corruption="gaussian", rows=rows, dataset=data, seed="s")
    made = checked(get("corruptions", "gaussian").function(data.train, use.settings, task), task,
                   rule=True)  # fmt: skip
    noise = made.tensors["noise"]
    assert noise.shape == (15, 12, 16)
    assert made.tensors["std"].item() == 0.5
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)
    tensors = {"train_rows": rows, "validation_rows": torch.arange(4), **stored(made)}
    cell: Any = SimpleNamespace(corruption=use, forget=None, data=SimpleNamespace(dataset=use),
                                seeds=SimpleNamespace(data=0))  # fmt: skip
    placed = corrupted(cell, data, tensors)
    material = material_of(cell, data, placed, tensors, None, torch.device("cpu"))  # type: ignore
    [batch] = material.pool(rows, ()).ordered()
    expected = torch.zeros(40, 12, 16).index_copy(0, made.rows, noise)[4:]
    assert torch.equal(batch.x.shift, expected)
    assert torch.equal(batch.x.ids, TEXTS.batch(data.train.inputs[4:]).ids)
    assert placed.train.inputs is data.train.inputs
    [clean] = material.clean(data.train).ordered()
    assert clean.x.shift is None
    assert isinstance(material.pool(rows, ()), Pool)


SPEC = {
    "harness": 1,
    "id": "text",
    "version": "1.0.0",
    "seeds": [0],
    "data": {"dataset": {"name": "imdb", "length": 12}, "train_samples": 48, "test_samples": 16},
    "corruption": {"name": "gaussian", "std": 0.05, "count": 6, "width": 16},
    "model": SMALL,
    "train": {
        "steps": 6, "batch_size": 16, "optimizer": {"name": "adamw", "lr": 0.003},
        "precision": "bf16",
    },
    "forget": {"set": "corrupted"},
    "methods": [
        "none", "retrain", "ssd", {"name": "finetune", "steps": 2},
        {"name": "gradient_ascent", "steps": 2},
    ],
    "metrics": ["clean_accuracy", "forget_accuracy", "cost"],
}  # fmt: skip


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A data root with very short reviews."""
    (tmp_path / "data" / "imdb").mkdir(parents=True)
    table = pa.table({
        "text": [("good " if i % 2 else "bad ") * (1 + i % 3) for i in range(64)],
        "label": [i % 2 for i in range(64)],
    })  # fmt: skip
    for part in ("train", "test"):
        pq.write_table(table, tmp_path / "data" / "imdb" / f"{part}-00000-of-00001.parquet")
    return tmp_path / "data"


def spec(folder: Path, **changes: Any) -> Path:
    file = folder / "text.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changes}, sort_keys=False))
    return file


def test_training_again_gives_the_same_bits_with_dropout_and_noise() -> None:
    draws = torch.Generator().manual_seed(3)
    noise = Replacement(torch.arange(9), torch.randn(9, 12, 16, generator=draws), 40)
    after = Change(marks(torch.arange(9), 40), noise)
    split = Split(texts(40), torch.arange(40) % 3)
    plain = {"steps": 5, "batch_size": 16, "optimizer": {"name": "adamw", "lr": 0.01}}
    found = []
    for layout in (False, True):
        model = build("b")
        pool = Pool(split, torch.arange(40), encoding=TEXTS, after=after, channels_last=layout)
        fit(model, pool, structure_block(Train, plain), generator=lambda name: generator("g", name))
        found.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    start = torch.cat([value.flatten() for value in build("b").state_dict().values()])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], start)


def test_a_run_on_texts_ends_with_models_that_load(cli: Cli, tmp_path: Path, reviews: Path) -> None:
    file = spec(tmp_path)
    done = cli("run", file, "--data-root", reviews, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    model = load_model(tmp_path / "out", method="retrain", store=tmp_path / "store")
    assert model(Tokens(12, 256).example(2)).shape == (2, 2)
    plan = load(file).plan()
    stage = next(s for s in plan.stages.values() if s.kind == "train")
    written = tmp_path / "config.json"
    written.write_text(config(stage, "train", {}))
    tensors = Store(tmp_path / "store").read("train", stage.key).tensors
    found = _model(*described(written, "here"), tensors)
    assert found(Tokens(12, 256).example(2)).shape == (2, 2)


@pytest.mark.parametrize(
    ("path", "value", "place", "what"),
    [
        ("corruption.width", 8, "width: 8", "found 8; the model's tokens have vectors of 16"),
        (
            "corruption.width",
            None,
            "name: gaussian",
            "as wide as its tokens' vectors: give 'width'",
        ),
        ("model.context", 8, "context: 8", "found 8; texts have up to 12 tokens"),
        ("model.heads", 3, "heads: 3", "16, the width, is no multiple of it"),
        ("model.vocabulary", 200, "vocabulary: 200", "200 ids have a vector; the data's tokenizer"),
        ("model.pretrained", "lab/tiny", "name: gpt2", "'revision' is missing"),
        (
            "train.memory_format",
            "channels_last",
            "memory_format: ",
            "channels_last is a layout of images",
        ),
    ],
)
def test_what_does_not_fit_a_text_is_refused_with_its_line(
    cli: Cli, tmp_path: Path, path: str, value: object, place: str, what: str
) -> None:
    block, name = path.split(".")
    file = spec(tmp_path, **{block: {**SPEC[block], name: value}})  # type: ignore[dict-item]
    done = cli("validate", file)
    assert done.returncode == 2
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if place in text)
    assert what in done.stderr
    assert f"text.yaml:{line}:" in done.stderr, done.stderr
