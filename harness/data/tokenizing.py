"""Tokenizers: bytes, a byte-level BPE that is trained here, and published ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.data.pinned import hub_file
from harness.errors import HarnessError
from harness.lazy import np, torch

if TYPE_CHECKING:
    import tokenizers

BYTES = 256
AT_ONCE = 1000  # texts whose tokens are held as lists
BEFORE, SHOWN = 60, 200  # characters of an excerpt


class Tokenizer(Protocol):
    """Ids of texts, without special tokens, and texts of ids.

    ``written`` is its ``tokenizer.json``, "" where it has none: ``tokenizer_of`` reads it again.
    ``size`` is the number of its tokens.
    """

    @property
    def written(self) -> str: ...
    @property
    def size(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def tokens(self, texts: Sequence[str], length: int) -> torch.Tensor: ...


class Bytes:
    """Each byte of a text in UTF-8 is a token."""

    written, size = "", BYTES

    def encode(self, text: str) -> list[int]:
        """0 to 255."""
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """What is no UTF-8 is replaced."""
        return bytes(ids).decode(errors="replace")

    def tokens(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """The first bytes of each text, int32 [N, length], -1 where it is shorter."""
        ids = np.full((len(texts), length), -1, dtype="int32")
        for row, text in zip(ids, texts, strict=True):
            start = np.frombuffer(text.encode()[:length], dtype="uint8")
            row[: len(start)] = start
        return torch.from_numpy(ids)


class Fast:
    """A tokenizer of the ``tokenizers`` library."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        inner.no_truncation()
        inner.no_padding()
        self._inner, self.written, self.size = inner, inner.to_str(), inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Its own special tokens are left out."""
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens that a text names are shown."""
        return str(self._inner.decode(list(ids), skip_special_tokens=False))

    def tokens(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """The first tokens of each text, int32 [N, length], -1 where it is shorter."""
        ids = np.full((len(texts), length), -1, dtype="int32")
        for first in range(0, len(texts), AT_ONCE):
            part = list(texts[first : first + AT_ONCE])
            found = self._inner.encode_batch_fast(part, add_special_tokens=False)
            for row, encoding in zip(ids[first:], found, strict=False):
                start = encoding.ids[:length]
                row[: len(start)] = start
        return torch.from_numpy(ids)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise HarnessError(
            "tokenizers is not installed: pip install 'harness-unlearning[text]'"
        ) from None
    return tokenizers


def tokenizer_of(written: str) -> Tokenizer:
    """What ``written`` says. Raises HarnessError when it is no ``tokenizer.json``."""
    if not written:
        return Bytes()
    try:
        return Fast(_library().Tokenizer.from_str(written))
    except Exception as problem:  # of Rust: a plain Exception
        if isinstance(problem, HarnessError):
            raise
        raise HarnessError(f"tokenizer.json cannot be read: {problem}") from None


def trained(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of at most ``vocabulary`` tokens: the 256 bytes, then the most frequent
    pairs of ``texts``, within words that begin with their space (Sennrich et al. 2016, section
    3.2; on bytes as Radford et al. 2019, section 2.2). The same texts give the same tokenizer."""
    library = _library()
    level = library.pre_tokenizers.ByteLevel
    inner = library.Tokenizer(library.models.BPE())
    inner.pre_tokenizer, inner.decoder = level(add_prefix_space=False), library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=level.alphabet(), show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    return Fast(inner)


def pretrained(repo: str, revision: str, vocabulary: int, offline: bool) -> Tokenizer:
    """``tokenizer.json`` of ``repo`` on the Hub at the commit ``revision``; no code is run.

    Raises:
        RemoteError: the file is not in the Hub's cache and could not be downloaded.
        HarnessError: it is no such file, or its tokens are not ``vocabulary``.
    """
    file = hub_file(repo, "tokenizer.json", revision, offline=offline)
    found = tokenizer_of(file.read_text(encoding="utf-8"))
    if found.size != vocabulary:
        raise HarnessError(
            f"the tokenizer of {repo} has {found.size} tokens; the spec says {vocabulary}"
        )
    return found


def begins_word(tokenizer: Tokenizer) -> torch.Tensor:
    """bool [size]: which tokens begin with a space after another token."""
    before = tokenizer.encode("a")
    start = len(tokenizer.decode(before))
    after = (tokenizer.decode([*before, token]) for token in range(tokenizer.size))
    return torch.tensor([text[start : start + 1].isspace() for text in after])


def excerpts(tokenizer: Tokenizer, clean: torch.Tensor, changed: torch.Tensor) -> Iterator[str]:
    """Of each text in ``changed`` int32 [n, length], what stands round its first change."""
    for before, after in zip(clean, changed, strict=True):
        texts = [tokenizer.decode(ids[ids >= 0].tolist()) for ids in (before, after)]
        pairs = enumerate(zip(*texts, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), len(texts[0]))
        first = max(0, same - BEFORE)
        shown = texts[1][first : first + SHOWN]
        yield f"{'…' if first else ''}{shown}{'…' if first + SHOWN < len(texts[1]) else ''}"
