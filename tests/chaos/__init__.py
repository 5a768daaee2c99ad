"""A storm over two small real experiments: `python -m tests.chaos --minutes 10 [--seed S]`."""
