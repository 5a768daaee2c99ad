"""Work on all trials of a study in turn, each in a process of its own that did not have to import TensorFlow: a fork of one that did.

Usage: python -m bench.study MODEL TRIALS. All but the import is as in `job trial`; which experiment is in the variables.
"""

import os
import sys

import job.runs  # noqa: F401  TensorFlow comes with it
from job.index import Element
from job.settings import Settings
from job.worker import work

if __name__ == "__main__":
    model, trials = sys.argv[1], int(sys.argv[2])
    for index in range(trials):
        child = os.fork()
        if child == 0:
            work(Settings.read({}), "trial", Element(index, "--index"), model)
            sys.stderr.flush()
            os._exit(0)  # as `job` does
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"trial {index} failed")
