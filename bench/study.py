"""Work on all trials of a study in turn, in one process: each is claimed, trained, reported, pruned and committed as `job trial` does it.

Usage: python -m bench.study MODEL TRIALS. Only the starts of processes are saved; which experiment is in the variables.
"""

import sys

import keras

from job.index import Element
from job.settings import Settings
from job.worker import work

if __name__ == "__main__":
    model, trials = sys.argv[1], int(sys.argv[2])
    settings = Settings.read({})
    for index in range(trials):
        work(settings, "trial", Element(index, "--index"), model)
        keras.backend.clear_session()
