"""Optimisers (kind ``optimizers``)."""
