"""Run the trials of a study in turn until enough epochs are spent.

Usage: python -m bench.study MODEL EPOCHS. The variables name the experiment.
Each trial is a fork of one process that has imported TensorFlow. The rest is as in `job trial`.
"""

import os
import sys
from itertools import count

import job.work.stages  # noqa: F401  TensorFlow comes with it
from job.coordination.database import Database
from job.experiment.task import Element
from job.settings import Settings
from job.work.worker import work

SPENT = """
select count(*) as epochs from epoch e join experiment x on x.id = e.experiment
where x.name = %(name)s and e.model = %(model)s
"""

if __name__ == "__main__":
    model = sys.argv[1]
    epochs = int(sys.argv[2])
    settings = Settings.read({})
    database = Database(settings.need("database_url"))
    name = settings.need("experiment")
    for index in count():
        if database.rows(SPENT, name=name, model=model)[0]["epochs"] >= epochs:
            break
        child = os.fork()
        if child == 0:
            work(settings, "trial", Element(index, "--index"), model)
            sys.stderr.flush()
            os._exit(0)  # as `job` does
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"trial {index} failed")
