"""How a component is declared and found: settings, the typed contract of its kind, look-up."""

from harness.components.catalogue import KINDS, Component, component, get, load, remembered
from harness.components.facts import Facts, Misfit
from harness.components.settings import NoSettings, setting

__all__ = [
    "KINDS",
    "Component",
    "Facts",
    "Misfit",
    "NoSettings",
    "component",
    "get",
    "load",
    "remembered",
    "setting",
]
