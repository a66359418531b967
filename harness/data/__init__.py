"""Data: sets, splits, forget sets, augmentation and batches."""
