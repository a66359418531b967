"""Learning-rate schedules (kind ``schedules``)."""
