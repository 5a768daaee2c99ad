"""Work on the trials of a study in turn until so many epochs are spent, each in a process of its own: a fork of one that imported TensorFlow.

Usage: python -m bench.study MODEL EPOCHS. All but the import is as in `job trial`; which experiment is in the variables.
"""

import os
import sys
from itertools import count

import job.work.stages  # noqa: F401  TensorFlow comes with it
from job.coordination.database import Database
from job.experiment.task import Element
from job.settings import Settings
from job.work.worker import work

SPENT = "select count(*) as epochs from epoch e join experiment x on x.id = e.experiment where x.name = %(name)s and e.model = %(model)s"

if __name__ == "__main__":
    model, epochs = sys.argv[1], int(sys.argv[2])
    settings = Settings.read({})
    database = Database(settings.need("database_url"))
    for index in count():
        if (
            database.rows(SPENT, name=settings.need("experiment"), model=model)[0]["epochs"]
            >= epochs
        ):
            break
        child = os.fork()
        if child == 0:
            work(settings, "trial", Element(index, "--index"), model)
            sys.stderr.flush()
            os._exit(0)  # as `job` does
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"trial {index} failed")
