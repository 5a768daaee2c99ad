"""The command to run before anything else: check."""

import json

import click

from job.cli.options import DATA, JSON, WEIGHTS, end, say, where


@click.command()
@click.argument("experiment_file", metavar="[EXPERIMENT.toml]", required=False)
@DATA
@WEIGHTS
@JSON
@where("database_url", "store_url", "cache_dir")
def check(settings, experiment_file, location, weights, as_json):
    """Check that everything is in place; with a file, also estimate what it costs.

    Prints one line per check: OK, or the reason why not. Exits with 0 if all checks pass, else
    with the code of the worst one.

    With a file, it builds every model in a process of its own and trains it for a few steps on
    random images, at the costliest point of its search. It leaves nothing behind.

    Example: job check examples/quick.toml --data cifar-10-python.tar.gz --weights weights/
    """
    from job.experiment.specification import load
    from job.preflight.check import Preflight
    from job.preflight.findings import entry, line, worst

    experiment = load(experiment_file) if experiment_file else None
    preflight = Preflight(settings, experiment, location or None, weights or None)
    findings = []
    for finding in preflight.findings():
        findings.append(finding)
        if not as_json:
            say(line(finding))
    if as_json:
        say(json.dumps([entry(finding) for finding in findings]))
    end(worst(findings))


COMMANDS = (check,)
