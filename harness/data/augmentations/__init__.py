"""Batch augmentations (kind ``augmentations``)."""
