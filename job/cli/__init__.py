"""The command `job`: its subcommands and options, and the display of a running experiment."""
