"""The command `job`: its words, its flags, and what it shows of a running experiment."""
