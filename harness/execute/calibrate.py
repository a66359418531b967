"""How fast this device trains a model of a plan: a short measurement, on data made of zeros."""

from __future__ import annotations

import time

from harness.components import get
from harness.lazy import torch
from harness.plan.cost import flops_per_sample, threads_of
from harness.plan.stage import Cell
from harness.spec.fit import architecture, facts_of
from harness.training.precision import arithmetic

SECONDS = 1.0
STEP = {"cpu": 2e10, "cuda": 2e12}  # FLOPs of a step, so that no model takes minutes


def flops_per_second(cell: Cell, device: str) -> float:
    """Floating-point operations in a second of training steps, after one to warm up."""
    facts, kind = facts_of(cell.data), torch.device(device).type
    each = 3 * flops_per_sample(cell.model, facts.encoding, facts.classes)
    size = max(2, min(cell.train.batch_size, int(STEP[kind] / max(each, 1))))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_of(cell))
    try:
        with torch.random.fork_rng(), torch.device(device):
            build = get("models", cell.model.name).function
            model = build(architecture(cell.model).settings, facts.encoding, facts.classes).train()
            batch, steps = facts.encoding.example(size), -1
            begun = time.monotonic()
            while steps < 1 or time.monotonic() - begun < SECONDS:
                with arithmetic(kind, cell.train.precision):
                    loss = model(batch).float().logsumexp(1).mean()
                model.zero_grad()
                loss.backward()
                loss.detach().item()  # waits for the device
                steps += 1
                if steps == 0:
                    begun = time.monotonic()
            return steps * size * each / (time.monotonic() - begun)
    finally:
        torch.set_num_threads(threads)
