"""What a model that is to forget classes still knows of them, and how soon it knows them again."""

from __future__ import annotations

from copy import deepcopy

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.errors import HarnessError
from harness.lazy import F, torch
from harness.metrics.accuracy import accuracy
from harness.metrics.evidence import Evidence, Which

DROPS = {
    "test_forget_drop": "test_forget_accuracy",
    "test_retain_drop": "test_retain_accuracy",
    "forget_drop": "forget_accuracy",
    "retain_drop": "retain_accuracy",
}


def forgotten(evidence: Evidence, split: str) -> torch.Tensor:
    """bool [n]: which samples of ``split`` are of a class that was forgotten whole.

    Raises:
        HarnessError: every class has samples in the retain set.
    """
    kept = evidence.targets("retain").unique()
    gone = evidence.targets("forget").unique()
    gone = gone[~torch.isin(gone, kept)]
    if not len(gone):
        raise HarnessError("no class is forgotten whole: all have samples in the retain set")
    return torch.isin(evidence.targets(split), gone)


@component(
    "metrics",
    "class_accuracy",
    source="Golatkar et al., CVPR 2020; Shah et al., arXiv 2311.15268: retain and forget test set",
    outputs=lambda s: ("test_forget_accuracy", "test_retain_accuracy", *DROPS),
    docs=lambda s: {
        "test_forget_accuracy": "Accuracy on the test samples of the forgotten classes.",
        "test_retain_accuracy": "Accuracy on the test samples of the other classes.",
        "test_forget_drop": "That of the base model minus the unlearned one's.",
        "test_retain_drop": "That of the base model minus the unlearned one's.",
        "forget_drop": "Accuracy on the forget set (training samples): base minus unlearned.",
        "retain_drop": "Accuracy on the retain set (training samples): base minus unlearned.",
    },
    reads=lambda s: ("forget", "retain", "test"),
    better={  # of the forgotten classes, best is what retraining has
        "test_retain_accuracy": "higher",
        "test_retain_drop": "lower",
        "retain_drop": "lower",
        "test_forget_accuracy": "none",
        "test_forget_drop": "none",
        "forget_drop": "none",
    },
    drop_of=DROPS,
    unit="share",
    range={
        **dict.fromkeys(("test_forget_accuracy", "test_retain_accuracy"), (0, 1)),
        **dict.fromkeys(DROPS, (-1, 1)),
    },
)
def class_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the forgotten classes and on the others, and how much of the base model's is
    gone, in points and not relative to it. All logits take part, also the forgotten class's.

    Raises:
        HarnessError: no class was forgotten whole.
    """
    gone = forgotten(evidence, "test")

    def of(which: Which) -> dict[str, float]:
        right = evidence.logits("test", which).argmax(1) == evidence.targets("test")
        return {
            "test_forget_accuracy": int(right[gone].sum()) / int(gone.sum()),
            "test_retain_accuracy": int(right[~gone].sum()) / int((~gone).sum()),
            **{f"{split}_accuracy": accuracy(evidence, split, which)
               for split in ("forget", "retain")},
        }  # fmt: skip

    now, before = of("unlearned"), of("original")
    drops = {name: before[of_] - now[of_] for name, of_ in DROPS.items()}
    return {name: now[name] for name in ("test_forget_accuracy", "test_retain_accuracy")} | drops


@frozen
class LinearProbe:
    """Settings of ``linear_probe``."""

    samples: int = setting(
        2000, doc="retain samples that it is trained on, with as many a class to forget", ge=10
    )
    steps: int = setting(200, doc="iterations of L-BFGS at most", ge=1)


@component(
    "metrics",
    "linear_probe",
    settings=LinearProbe,
    source="Alain and Bengio 2016, on what is left of forgotten classes: weak unlearning",
    outputs=lambda s: ("probe_forget_accuracy", "probe_retain_accuracy"),
    docs=lambda s: {
        "probe_forget_accuracy": "Test accuracy on the forgotten classes of a new linear layer on "
        "what the model's own last one sees. Where it is high, the outputs forgot and the "
        "representation did not: weak unlearning.",
        "probe_retain_accuracy": "The same on the other classes.",
    },
    reads=lambda s: (f"retain:{s.samples}", "retain", "forget", "test"),
    better="none",  # best is what retraining has
    unit="share",
    range=(0, 1),
)
def linear_probe(evidence: Evidence, settings: LinearProbe) -> dict[str, float]:
    """Logistic regression on standardised representations of training samples of all classes.

    The representation is what goes into the last linear layer, of a linear head the frozen
    vectors themselves; of a model without such a layer it is what the model gives. So a head on a
    frozen backbone keeps all that the backbone knows, whatever was done to the head.

    Raises:
        HarnessError: no class was forgotten whole.
    """
    from sklearn.linear_model import LogisticRegression

    retain, gone = f"retain:{settings.samples}", forgotten(evidence, "test")
    targets = evidence.targets(retain)
    each = max(1, len(targets) // len(targets.unique()))
    seen = len(evidence.targets("forget").unique()) * each
    draws = evidence.generator("linear probe")
    chosen = torch.randperm(len(evidence.targets("forget")), generator=draws)[:seen]
    x = torch.cat([evidence.representation(retain), evidence.representation("forget")[chosen]])
    y = torch.cat([targets, evidence.targets("forget")[chosen]])
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    probe = LogisticRegression(max_iter=settings.steps, tol=1e-3)
    probe.fit(((x - mean) / std).double().numpy(), y.numpy())
    found = probe.predict(((evidence.representation("test") - mean) / std).double().numpy())
    right = torch.from_numpy(found) == evidence.targets("test")
    return {
        "probe_forget_accuracy": int(right[gone].sum()) / int(gone.sum()),
        "probe_retain_accuracy": int(right[~gone].sum()) / int((~gone).sum()),
    }


@frozen
class Relearning:
    """Settings of ``relearning``."""

    share: float = setting(
        0.95, doc="of the base model's accuracy on the forget set that ends it", gt=0, le=1
    )
    lr: float = setting(0.01, doc="learning rate of SGD without momentum", gt=0)
    batch_size: int = setting(500, doc="training samples of a step, drawn anew", ge=1)
    most: int = setting(100, doc="steps after which it is given up", unit="steps", ge=1)


@component(
    "metrics",
    "relearning",
    settings=Relearning,
    source="relearn time, Golatkar et al., CVPR 2020, in the steps of meghdadk/SCRUB at 98ffb11; "
    "it ends there at the original loss",
    outputs=lambda s: ("relearning_steps", "relearned"),
    docs=lambda s: {
        "relearning_steps": "Steps on training data of all classes until the accuracy on the "
        f"forget set is back at {s.share:g} of the base model's; {s.most} where it never is.",
        "relearned": "1 where it came back, 0 where it was given up.",
    },
    reads=lambda s: ("retain", "forget"),
    better="none",  # best is what retraining has
    unit={"relearning_steps": "steps", "relearned": "share"},
    range={"relearning_steps": (0, None), "relearned": (0, 1)},
)
def relearning(evidence: Evidence, settings: Relearning) -> dict[str, float]:
    """Steps of SGD on all training samples until the forgotten ones are known again.

    What a model has masked stays masked: only weights that are trained move. The original is never
    touched, and nothing is counted as cost of the method.
    """
    model = deepcopy(evidence.model("unlearned"))
    forget = evidence.pool("forget")
    every = evidence.pool("retain").joined(forget)
    goal = settings.share * accuracy(evidence, "forget", "original")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise HarnessError("relearning: the model has no weight that can be trained")
    optimizer = torch.optim.SGD(weights, lr=settings.lr)
    batches = every.forever(settings.batch_size, evidence.generator("relearning"))
    steps, found = 0, accuracy(evidence, "forget")
    while found < goal and steps < settings.most:
        batch = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model.train()(batch.x), batch.y).backward()
        optimizer.step()
        steps += 1
        with torch.inference_mode():
            model.eval()
            right = [(model(b.x).argmax(1) == b.y).sum() for b in forget.ordered()]
        found = int(torch.stack(right).sum()) / len(forget)
    return {"relearning_steps": steps, "relearned": float(found >= goal)}
