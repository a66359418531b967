"""Random numbers from names: a stage's key and a purpose give a stream of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from harness.lazy import nn, torch


def seed(key: str, purpose: str) -> int:
    """63 bits of SHA-256 over ``key`` and ``purpose``."""
    return int.from_bytes(hashlib.sha256(f"{key}|{purpose}".encode()).digest()[:8], "big") >> 1


def generator(key: str, purpose: str) -> torch.Generator:
    """A CPU generator whose numbers depend on ``key`` and ``purpose`` alone."""
    return torch.Generator().manual_seed(seed(key, purpose))


def seeded_build(make: Callable[[], nn.Module], key: str) -> nn.Module:
    """What ``make`` builds with torch's global generator seeded, which is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed(key, "weights"))
        return make()
