"""The command that looks before anything leaps: check."""

import json

import click

from job.cli.options import DATA, WEIGHTS, end, say, where


@click.command()
@click.argument("experiment_file", metavar="[EXPERIMENT.toml]", required=False)
@DATA
@WEIGHTS
@click.option("--json", "as_json", is_flag=True, help="for programs")
@where("database_url", "store_url", "cache_dir")
def check(settings, experiment_file, location, weights, as_json):
    """Look whether all is there, one OK or one reason a line; with a file, also what it would cost.

    Exit 0 if all is well, else the code of the worst. Every model of the file is built in a process of its own and trained a few
    steps on random images, at the costliest point of its search. Nothing is left behind.

    Example: job check examples/quick.toml --data cifar-10-python.tar.gz --weights weights/
    """
    from job.experiment.specification import load
    from job.preflight.check import Preflight
    from job.preflight.findings import entry, line, worst

    experiment = load(experiment_file) if experiment_file else None
    findings = []
    for finding in Preflight(settings, experiment, location or None, weights or None).findings():
        findings.append(finding)
        if not as_json:
            say(line(finding))
    if as_json:
        say(json.dumps([entry(f) for f in findings]))
    end(worst(findings))


COMMANDS = (check,)
