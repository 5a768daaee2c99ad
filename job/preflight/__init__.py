"""What is known before a run costs anything: whether a setup works, and what it will cost."""
