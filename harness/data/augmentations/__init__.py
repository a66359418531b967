"""Augmentations (kind ``augmentations``), by what they are given at a time (trait ``over``).

``batch``: ``function(images [B], settings, generator)`` gives the changed images, for each batch.
``labelled batch``: ``function(images [B], labels float32 [B, classes], settings, generator)`` gives
images and labels, both float32. ``training set``: ``function(images uint8 [N], labels int64 [N],
settings, generator)`` gives the images that training sees in place of the stored ones, uint8 or
float32; it is called once, before any batch is drawn.
"""
