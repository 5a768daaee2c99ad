"""WHO does what: PostgreSQL with its tasks, leases, studies and epochs. Knows experiments; no bytes, no nets."""
