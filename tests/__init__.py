"""The tests, one folder per level; CONTRIBUTING.md says what each one needs."""
