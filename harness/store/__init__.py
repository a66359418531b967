"""Where artifacts lie, by key: a local folder, and the Hub through a registry."""

from harness.store.maintenance import gc, listing, strays, verify
from harness.store.store import Artifact, Store

__all__ = ["Artifact", "Store", "gc", "listing", "strays", "verify"]
