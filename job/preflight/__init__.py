"""What can be known before anything is paid for: whether a setup works, and what it will cost."""
