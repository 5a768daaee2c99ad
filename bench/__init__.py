"""Measure speed beside what a user would write without `job`."""
