"""The long experiment at its site: its rows, its objects, and the bits of its results."""

import json
import signal
from dataclasses import dataclass
from urllib.parse import urlsplit

from job.coordination.database import Database
from job.storage.store import open_store
from tests.support.experiments import TRIAL
from tests.support.formats import expect_format
from tests.support.site import Site
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Long:
    """A site with the long experiment, its database and its store."""

    site: Site
    database: Database

    @property
    def store(self):
        """The store of the experiment."""
        return open_store(self.site.store_url, 20)

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the database."""
        parts = urlsplit(self.site.database_url)
        return parts.hostname, parts.port

    def through(self, port: int) -> str:
        """Return the database's URL with another port."""
        return self.site.database_url.replace(f":{self.address[1]}/", f":{port}/")

    def on(self, database_url: str) -> "Long":
        """Return a view of the same experiment in another database."""
        return Long(self.site, Database(database_url, 10))

    def task(self, index: int) -> dict:
        """Return the row of a trial."""
        statement = "select * from task where stage = 'trial' and index = %(i)s"
        return self.database.rows(statement, i=index)[0]

    def attempts(self, index: int) -> list[dict]:
        """Return the attempts of a trial in order."""
        return self.database.rows(
            "select * from attempt where stage = 'trial' and index = %(i)s order by number", i=index
        )

    def epochs(self, index: int) -> list[dict]:
        """Return the epochs of a trial in order."""
        return self.database.rows(
            "select * from epoch where stage = 'trial' and index = %(i)s order by epoch", i=index
        )

    def end_in_the_middle(self, index: int, number: signal.Signals) -> None:
        """Start a trial, and end it by a signal once more than before is durable."""
        progress = self.task(index)["progress"]
        child = self.site.start(*TRIAL, index)
        wait_for(lambda: self.task(index)["progress"] > progress + 3)
        child.send(number)
        child.wait(check=-9 if number == signal.SIGKILL else 75)

    def objects(self, index: int, name: str) -> list[str]:
        """Return the keys of a trial's objects that contain this name."""
        keys = [found.key for found in self.store.listing("experiments/")]
        return [key for key in keys if f"/trial/{index}/" in key and name in key]

    def bits(self, index: int) -> dict:
        """Return what must be equal in any two results of a trial."""
        result = json.loads(self.store.get(self.task(index)["artifact"]["result.json"]["key"]))
        expect_format("result", result)
        hashes = ("weights_sha256", "history_sha256", "predictions_sha256")
        return {key: result[key] for key in (*hashes, "value", "parameters", "step")}
