"""Everything on one machine: embedded PostgreSQL and S3 servers, and the workers of `job local`."""
