"""What the record of a run proves, in sentences for the checklists of a paper's authors.

Each function takes the results; an empty text means that this run proves nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.asked import paper_of
from harness.report.chosen import choices, explained
from harness.report.pinned import code_text, components_text, hardware_text, software_text
from harness.report.repetitions import labels, seeds_text
from harness.report.results import DataFacts, Results
from harness.spec.sweeps import sweeps_in

WHERE = "It runs as printed: in the root of the checkout, or beside a spec that is in none."


def join(*sentences: str) -> str:
    """The sentences that say something."""
    return " ".join(filter(None, sentences))


def protocol(results: Results) -> str:
    """Which spec ran, and how."""
    spec = results.spec
    changed = f", changed by {', '.join(results.changes)}" if results.changes else ""
    return (
        f"The spec {spec['id']} {spec['version']} (profile {results.profile or 'default'}"
        f"{changed}) holds every setting; the resolved ones are in results.json and checklist.md."
    )


def command(results: Results) -> str:
    """Where the exact command is."""
    return "The command stands at the end." if results.provenance.command else ""


def code(results: Results) -> str:
    """Revisions of the checkout and of the components."""
    return f"Code: {code_text(results)}; revisions of components: {components_text(results)}."


def software(results: Results) -> str:
    """Versions."""
    return f"Software: {software_text(results)}."


def hardware(results: Results) -> str:
    """The machine."""
    return f"Hardware: {hardware_text(results)}."


def data(results: Results) -> str:
    """Which data, to the byte."""
    found = results.data
    if found == DataFacts():
        return ""
    sources = [c.source for c in results.components if c.kind == "datasets"]
    shape = "x".join(map(str, found.shape))
    inside = [f"{found.classes} classes"] if found.classes else []
    inside += [f"inputs of {shape}"] if shape else []
    described = f" ({', '.join(inside)})" if inside else ""
    return join(
        f"Data: {found.name}{described}, SHA-256 {found.digest}.",
        "The images are a lossy copy (JPEG) of what was published." if found.lossy else "",
        f"The tokenizer's SHA-256 is {found.tokenizer}." if found.tokenizer else "",
        f"Source: {'; '.join(sources)}." if sources else "",
    )


def splits(results: Results) -> str:
    """How many samples there are in which part."""
    parts = [f"{part} {count:,}" for part, count in results.data.splits.items()]
    if not parts:
        return ""
    return f"Samples: {', '.join(parts)}; drawn from the seed by fixed rules."


def changes_of_data(results: Results) -> str:
    """What is left out, changed and augmented."""
    spec = results.spec
    block = spec["data"]
    limits = [f"{name}: {block[name]}" for name in ("train_samples", "test_samples") if block[name]]
    uses = [*block["augment"], *block.get("defences", ())]
    augment = ", ".join(use["name"] for use in uses) or "none"
    return join(
        f"Corruption: {spec['corruption']['name']}; forget set: {spec['forget']['set']}; "
        f"augmentation: {augment}; pixels are normalised by the data set's statistics.",
        f"Only a part of the samples is used: {', '.join(limits)}." if limits else "",
    )


def methods(results: Results) -> str:
    """Which methods ran, and where each comes from."""
    found = [f"{label}: {facts.source}" for label, facts in sorted(results.methods.items())]
    return f"Methods with their sources: {'; '.join(found)}."


def training(results: Results) -> str:
    """The recipe of the base model."""
    train = results.spec["train"]
    length = f"{train['steps']} steps" if train["steps"] else f"{train['epochs']} epochs"
    against = f", against the adversary {use['name']}" if (use := train.get("adversary")) else ""
    return (
        f"Base model {results.spec['model']['name']}: {length}, batch size "
        f"{train['batch_size']}, optimiser {train['optimizer']['name']} "
        f"(lr {train['optimizer'].get('lr')}), schedule {train['schedule']['name']}{against}."
    )


def search(results: Results) -> str:
    """The range of each swept hyper-parameter, and what chose among the candidates."""
    chosen, found = choices(results), []
    for method in results.spec["methods"]:
        plain = {key: value for key, value in method.items() if key != "select"}
        ranges = [
            f"{'.'.join(map(str, path))} in {{{', '.join(map(str, sweep['sweep']))}}}"
            for path, sweep in sweeps_in(plain)
        ]
        if ranges:
            label = method["label"]
            found.append(f"{label}: {', '.join(ranges)}, chosen by {chosen[label]}")
    if not found:
        return "No hyper-parameter was searched in this run."
    return f"Searched: {'; '.join(found)}. {explained(results)}"


def runs(results: Results) -> str:
    """How many trainings and evaluations there were."""
    seeds = labels(results.spec)
    counts = {
        kind: count.get("total") if isinstance(count, Mapping) else count
        for kind, count in results.stages.items()
    }
    stages = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{len(seeds)} repetitions ({seeds_text(results.spec)}); stages: {stages}."


def measures(results: Results) -> str:
    """What each metric means."""
    facts = results.metrics
    found = [f"{name}: {facts[name].doc.rstrip('.')}" for name in sorted(facts)]
    return f"Measures: {'; '.join(found)}."


def least_seeds(results: Results) -> int:
    """The smallest number of seeds behind a number of the tables."""
    return min((len(summary.seeds) for summary in results.summaries), default=0)


def sample_size(results: Results) -> str:
    """How many seeds error bars stand on."""
    most = max((len(summary.seeds) for summary in results.summaries), default=0)
    least = least_seeds(results)
    return f"n = {most} seeds" if least == most else f"n = {least} to {most} seeds"


def spread(results: Results) -> str:
    """What the error bars are."""
    n = least_seeds(results)
    if n < 2:
        return "One seed at least for some numbers: no spread is known."
    return (
        f"Mean and sample standard deviation over at least {n} seeds, with the 95 % interval of "
        "the mean by Student's t, which assumes normal errors. A seed drives the splits, the "
        "corruption, the forget set, the initial weights and the order of batches, where no "
        "setting fixes them."
    )


def times(results: Results) -> str:
    """What the run took, in all and by method."""
    run = results.provenance
    each = [f"{name} {t.wall:.2f} s" for name, t in run.times.items() if t.wall is not None]
    return join(
        f"The run took {run.seconds:,} s, less what was in the store already."
        if run.seconds is not None
        else "",
        f"Mean wall time of one unlearning: {', '.join(each)}." if each else "",
    )


def assets(results: Results) -> str:
    """What was used of others; their licences are not recorded."""
    paper = paper_of(results.spec)
    return join(
        data(results),
        f"Official code of the protocol's paper: {paper.code}." if paper and paper.code else "",
        software(results),
        "The run does not record licences.",
    )
