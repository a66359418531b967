"""Random numbers from names: a stage's key and a purpose give a stream of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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


def _forked(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


@contextmanager
def seeded_layers(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from, and put them back afterwards."""
    with torch.random.fork_rng(devices=_forked(device)):
        torch.manual_seed(seed)
        yield


def layer_draws(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the generators that layers on ``device`` draw from, uint8."""
    states = {"cpu": torch.get_rng_state()}
    return states | {d.type: torch.cuda.get_rng_state(d) for d in _forked(device)}


def restore_layer_draws(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Go on from what ``layer_draws`` gave on the same type of device."""
    torch.set_rng_state(states["cpu"])
    for forked in _forked(device):
        torch.cuda.set_rng_state(states[forked.type], forked)
