"""Unlearning methods: one file for each family."""
