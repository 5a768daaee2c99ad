"""Speed, measured beside what a user would write otherwise."""
