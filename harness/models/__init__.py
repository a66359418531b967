"""Architectures that a spec can name (kind ``models``)."""
