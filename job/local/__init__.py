"""Everything on one machine: embedded PostgreSQL and S3, and the workers of `job local`."""
