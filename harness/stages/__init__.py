"""From a plan to computed stages: one module for each kind, and what they share."""
