"""WHO does what: PostgreSQL with tasks, leases, studies and epochs.

Knows experiments, but neither bytes nor nets.
"""
