"""Data sets that a spec can name (kind ``datasets``)."""
