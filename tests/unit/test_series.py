"""`--count`: a child gets every option of its parent but those of the series."""

import click
import pytest

from job.cli.options import options_given
from job.cli.work import COMMANDS, STAGES

PER_CHILD = ("index", "count")
STAGE_COMMANDS = {command.name: command for command in COMMANDS if command.name in STAGES}


def parsed(command: click.Command, arguments: list[str]) -> click.Context:
    """Return the context of a command with these arguments, without running it."""
    return command.make_context(command.name, list(arguments))


@pytest.mark.parametrize("stage", STAGES)
def test_each_option_reaches_the_child(stage):
    """The child parses what its parent parsed, whatever option the command is given."""
    command = STAGE_COMMANDS[stage]
    options = [option for option in command.params if option.name not in PER_CHILD]
    assert {"model", "database_url", "store_url", "experiment", "cache_dir"} == {
        option.name for option in options
    }
    given = [f"{option.opts[0]}=a {option.name} --with=a dash" for option in options]
    parent = parsed(command, ["--index", "3", "--count=2", *given])
    child = parsed(command, options_given(parent, PER_CHILD))
    assert all(child.params[option.name] for option in options)
    expected = {name: v for name, v in parent.params.items() if name not in PER_CHILD}
    assert child.params == expected | dict.fromkeys(PER_CHILD)


def test_an_option_is_passed_as_it_was_given():
    """An empty value is passed on; the last of two counts; what was not given is left out."""
    command = STAGE_COMMANDS["trial"]
    parent = parsed(command, ["--count", "2", "--model", "a", "--experiment", "", "--model=-b"])
    assert options_given(parent, PER_CHILD) == ["--model=-b", "--experiment="]
    assert options_given(parsed(command, ["--count", "2"]), PER_CHILD) == []
