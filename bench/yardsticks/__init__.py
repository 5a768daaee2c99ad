"""The yardsticks: what a user would write without `job`."""
