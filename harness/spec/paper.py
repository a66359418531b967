"""What a spec says of the paper: title, authors, and what it reports of its own experiments."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import setting
from harness.spec.claims import Claim

Answer = Literal["yes", "no", "partial", "na"]


@frozen
class Reported:
    """What a paper reported on one reproducibility variable."""

    answer: Answer = setting(doc="whether the paper reports it")
    evidence: str = setting("", doc="where it does, or what is missing")


@frozen
class Variables:
    """The nine reproducibility variables (Gundersen et al.), as the paper answers them."""

    research_type: Reported | None = setting(None, doc="experimental or theoretical research")
    affiliation: Reported | None = setting(None, doc="academia, industry or a collaboration")
    pseudocode: Reported | None = setting(None, doc="the method is given as pseudocode")
    open_source_code: Reported | None = setting(None, doc="the code is published")
    open_datasets: Reported | None = setting(None, doc="the data sets are public")
    dataset_splits: Reported | None = setting(None, doc="train, validation and test are specified")
    hardware_specification: Reported | None = setting(None, doc="the hardware is named")
    software_dependencies: Reported | None = setting(None, doc="libraries and versions are named")
    experiment_setup: Reported | None = setting(None, doc="all hyper-parameters are given")


@frozen
class Paper:
    """The paper whose protocol a spec describes."""

    title: str = setting(doc="title of the paper")
    authors: tuple[str, ...] = setting((), doc="names in the paper's order")
    venue: str | None = setting(None, doc="where and when it appeared")
    arxiv: str | None = setting(
        None, doc="arXiv number, quoted", pattern=r"^\d{4}\.\d{4,5}(v\d+)?$"
    )
    code: str | None = setting(None, doc="address of the official code", pattern=r"^https?://")
    checklist: Variables = setting(Variables(), doc="what the paper reported, variable by variable")


@frozen
class ClaimsFile:
    """Claims of a paper over the results of several specs."""

    harness: Literal[1] = setting(doc="version of the spec language")
    id: str = setting(doc="name of the file's claims", pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    note: str = setting("", doc="what a reader should know first")
    paper: Paper | None = setting(None, doc="the paper that states them")
    claims: tuple[Claim, ...] = setting(doc="what the paper states; each names its ``specs``")
