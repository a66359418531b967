"""Adversaries of trainings (kind ``adversaries``).

``function(model, batch, settings, encoding, generator)`` gives inputs like ``batch.x``, for which
the loss of ``model`` is larger.
"""
