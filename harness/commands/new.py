"""``harness new``: a commented spec to start from."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import click

from harness.errors import UsageError
from harness.spec.reader import scalar


@click.command("new")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Write a commented spec to FILE to start from."""
    if file.exists():
        raise UsageError(f"{file} exists already; choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(new_spec(file), encoding="utf-8")
    click.echo(f"{file}: written. Next: harness validate {file}; harness run {file}")


def new_spec(file: Path) -> str:
    """A commented spec that runs as it is, to be written to ``file``.

    Its id is that of ``specs/my-paper/cifar10.yaml``, ``my-paper-cifar10``; its schema the one in
    the nearest ``specs`` folder.
    """
    place = file.resolve().with_suffix("")
    named = place.parts[-1:]
    if "specs" in place.parent.parts:
        named = place.parts[len(place.parts) - place.parts[-2::-1].index("specs") - 1 :]
    plain = unicodedata.normalize("NFKD", "-".join(named).lower()).encode("ascii", "ignore")
    spec_id = re.sub("[^a-z0-9]+", "-", plain.decode()).strip("-") or "my-spec"
    written = spec_id if isinstance(scalar(spec_id), str) else f'"{spec_id}"'
    schemas = (folder / "specs/schema/v1.json" for folder in place.parents)
    found = next((schema for schema in schemas if schema.is_file()), None)
    head = NO_SCHEMA if found is None else SCHEMA + os.path.relpath(found, place.parent)
    return f"{head}\n{NEW_SPEC.replace('ID', written, 1)}"


SCHEMA = "# yaml-language-server: $schema="
NO_SCHEMA = f"""\
# Editors complete this file after 'harness schema --write v1.json', with the first line
# '{SCHEMA}v1.json'."""
NEW_SPEC = """\
#
# What it costs:   harness plan THIS_FILE
# Run it:          harness run THIS_FILE
# A quick try:     harness run THIS_FILE --profile smoke
# What can stand where: harness list; harness describe ssd
harness: 1                        # version of the spec language
id: ID
version: 0.1.0                    # raise it when the protocol changes
note: what a reader should know first

# paper:                          # the paper whose protocol this is
#   title: ...
#   arxiv: "2406.09173"
#   checklist:
#     pseudocode: {answer: yes, evidence: Algorithm 1}

budget: {cpu_hours: 1}            # the run stops cleanly beyond it
seeds: [0, 1]                     # every cell is repeated for each

data:
  dataset: digits
  validation: 0.1                 # share of the training data held out

corruption: {name: badnet, patch: 2, place: top_left, target_class: 0, share: 0.04}
model: small_cnn

train:
  epochs: 20                      # or steps: 400
  batch_size: 64
  optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5e-4}
  schedule: one_cycle

forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}   # an axis of the tables

methods:
  - none
  - retrain
  - {name: finetune, epochs: 2, lr: 0.01}
  - name: ssd
    alpha: {sweep: [1, 10]}       # candidates, of which select takes one
    select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}

metrics: [clean_accuracy, accuracy_drop, attack_success_rate, unlearned_gain, healed]

# provenance:                     # where every value comes from: paper, code, secondary, ours
#   - {from: paper, of: [train, methods.ssd], where: "section 4, Table 2"}

profiles:
  smoke: {seeds: [0], train.epochs: 2, methods.ssd.alpha: 10}
"""
