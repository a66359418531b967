"""What has to be forgotten (kind ``forget_sets``)."""
