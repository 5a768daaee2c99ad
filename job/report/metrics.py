"""The seed of the intervals that the report computes."""

BOOTSTRAP_SEED = 0
