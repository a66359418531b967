"""Declarative, spec-driven evaluation of machine unlearning and data poisoning."""

__version__ = "0.1.0"
