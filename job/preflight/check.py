"""Preflight: is what a job needs there, and what would it cost? Nothing is written that is not removed again."""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from job.child import command
from job.coordination import tasks
from job.coordination.database import Database
from job.data import cifar10, downloads, sources, staging
from job.errors import Invalid, JobError, NotReady
from job.experiment.experiment import Experiment
from job.files import check_own
from job.interrupt import INTERRUPT
from job.learning import weights
from job.local.fallback import reachable
from job.preflight.costs import costs, device_time
from job.preflight.findings import Finding
from job.sentences import outside
from job.settings import SETTINGS, Settings, redact
from job.storage.store import Store, open_store

PATIENCE_S = 3.0  # with a server: a preflight is to tell, not to wait
POLL_S = 0.05


@dataclass(frozen=True)
class Facts:
    """What is known of the data."""

    image_shape: tuple[int, int, int]
    classes: int
    train: int


class Preflight:
    """The findings, one after the other; `facts` and `found` carry what later ones need of earlier ones."""

    def __init__(
        self,
        settings: Settings,
        experiment: Experiment | None,
        location: str | None,
        weights_place: str | None,
    ):
        self.settings, self.experiment, self.location, self.weights_place = (
            settings,
            experiment,
            location,
            weights_place,
        )
        self.database: Database | None = None
        self.store: Store | None = None
        self.facts: Facts | None = None
        self.found: dict[
            str, str | None
        ] = {}  # model -> file of its weights, None where it is not on this machine

    def findings(self) -> Iterator[Finding]:
        """Yield every finding, as soon as it is there."""
        yield self._try("database", self._database)
        yield self._try("store", self._store)
        yield self._try("cache", self._cache)
        yield self._try("device", self._device)
        if self.experiment is None:
            return
        yield self._try("data", self._data)
        for model in self.experiment.pretrained():
            yield self._try(f"weights {model}", lambda model=model: self._weights(model))
        hours = []
        for model in self.experiment.models:
            finding = self._try(f"model {model}", lambda model=model: self._model(model))
            hours.append(finding.measured.get("device_hours"))
            yield finding
        if None not in hours:
            starts = sum(sum(counts.values()) for counts in self.experiment.plan().values())
            said = f"at most about {device_time(sum(hours))} without pruning, and the starts of {starts} processes"
            yield Finding("together", said, measured={"device_hours": sum(hours)})

    def _try(self, what: str, look) -> Finding:
        try:
            return look()
        except NotReady as exc:
            return Finding(what, redact(str(exc)))
        except JobError as exc:
            return Finding(what, redact(str(exc)), exc.exit_code)
        except Exception as exc:
            if known := outside(exc):
                return Finding(what, redact(str(known)), known.exit_code)
            raise

    def _database(self) -> Finding:
        if self.settings.database_url is None:
            return _not_set("database", "database_url")
        database = Database(
            self.settings.database_url,
            PATIENCE_S,
            INTERRUPT.sleep,
            auth=self.settings.database_auth,
        )
        version = database.rows("select current_setting('server_version'::text) as version")[0][
            "version"
        ]
        self.database = database
        try:
            database.check_schema()
            state = "the tables are there"
        except NotReady:
            state = "no tables yet, `job prepare` makes them"
            database.may_prepare()
        return Finding("database", f"{database.where}, PostgreSQL {version}: {state}")

    def _store(self) -> Finding:
        if self.settings.store_url is None:
            return _not_set("store", "store_url")
        store, key, content = (
            open_store(self.settings.store_url, PATIENCE_S, INTERRUPT.sleep),
            f"check-{uuid.uuid4().hex}",
            b"job check",
        )
        try:
            store.put(key, content)
            if store.get(key) != content:
                raise JobError(
                    f"{redact(self.settings.store_url)}: an object came back with other bytes"
                )
        finally:
            self._remove(store, key)
        self.store = store
        return Finding(
            "store", f"{redact(self.settings.store_url)}: an object was written, read and removed"
        )

    def _remove(self, store: Store, key: str) -> None:
        """Remove what was written. Raises: Invalid, saying what needs the right to: tasks go on without it."""
        try:
            store.delete([key], PATIENCE_S)
        except Invalid as exc:
            raise Invalid(
                f"{exc}; without the right to delete, old checkpoints stay, and `job gc` and `job drop` cannot work ({key} is left)"
            ) from exc

    def _cache(self) -> Finding:
        folder = self.settings.cache_dir
        if os.path.lexists(folder):
            check_own(folder, "JOB_CACHE_DIR")
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as exc:
            raise Invalid(
                f"JOB_CACHE_DIR = {folder}: {there} cannot be written ({exc.strerror}): name a folder of this user"
            ) from exc
        free = shutil.disk_usage(there).free / 1e9
        least = (
            ""
            if free > self.settings.cache_gb
            else f", less than JOB_CACHE_GB = {self.settings.cache_gb:g}"
        )
        return Finding("cache", f"{folder}: can be written, {free:.0f} GB free{least}")

    def _device(self) -> Finding:
        answer = self._probe(None)
        if "error" in answer:
            return Finding("device", answer["error"], answer["code"])
        found = answer["machine"]
        where = found["cpu"] if found["device"] == "cpu" else f"{found['device']} ({found['cpu']})"
        return Finding(
            "device",
            f"{where}, {os.cpu_count()} cores, TensorFlow {found['tensorflow']}",
            measured=found,
        )

    def _data(self) -> Finding:
        wanted = self.experiment.data
        if known := self._prepared():
            manifest = known.data
            self.facts = Facts(
                tuple(manifest["image_shape"]), len(manifest["classes"]), manifest["train"]
            )
            return Finding("data", f"prepared already, as {known.id}: {_facts(self.facts)}")
        where = self.location or wanted["source"]
        remote = downloads.is_url(where) or (
            where == "cifar10" and cifar10.cached(self.settings.cache_dir) is None
        )
        if not remote:
            source = sources.read(
                wanted["source"],
                wanted["image_size"],
                self.location,
                self.settings.cache_dir,
                wanted["groups"],
            )
            train, test = staging.cut(source, self.experiment)
            staging.make_splits(
                self.experiment,
                source.classes,
                train.labels,
                staging.relate(train, test).train,
                test.labels,
            )  # raises what `prepare` would
            self.facts = Facts(
                tuple(train.images.shape[1:]), len(source.classes), len(train.labels)
            )
            noted = "".join(f"; note: {note}" for note in source.notes)
            return Finding(
                "data",
                f"{source.name}: {_facts(self.facts)}{noted}",
                measured={"notes": list(source.notes)},
            )
        if where == "cifar10":
            self.facts = Facts(
                _shape(wanted["image_size"] or cifar10.SIDE),
                cifar10.CLASSES,
                wanted["train"] or cifar10.TRAIN_IMAGES,
            )
            where = cifar10.URL
        elif wanted["image_size"] and wanted["train"]:
            self.facts = Facts(_shape(wanted["image_size"]), 10, wanted["train"])
        shown = downloads.shown(where)
        if not downloads.is_s3(where) and not reachable(where):
            raise JobError(
                f"{shown} cannot be downloaded from here within minutes: name a file by --data"
            )
        guess = (
            f"the models are measured as if it were {_facts(self.facts)}"
            if self.facts
            else "what is in it is not known before"
        )
        return Finding("data", f"{shown}: not downloaded yet; {guess}")

    def _prepared(self) -> tasks.Registered | None:
        """Return the experiment as the database has it, or None."""
        if self.database is None:
            return None
        try:
            known = tasks.find(self.database, self.experiment.name)
        except NotReady:
            return None
        return known if self.store is None or staging.manifest_in(self.store, known.data) else None

    def _weights(self, model: str) -> Finding:
        parameters, what = self.experiment.fixed(model), f"weights {model}"
        self.found[model] = None
        if self.weights_place and downloads.is_url(self.weights_place):
            return Finding(
                what,
                f"{downloads.shown(self.weights_place)} is asked for {weights.names(model, parameters)[0]} by `job prepare`",
            )
        if path := weights.find(model, parameters, self.weights_place, self.settings.cache_dir):
            self.found[model] = str(path)
            return Finding(what, str(path))
        if self.store and weights.staged(self.store, model, parameters):
            return Finding(what, "in the store, from an earlier experiment")
        url = weights.url(model, parameters)
        if not reachable(url):
            raise JobError(
                f"{url} cannot be downloaded from here within minutes: name a folder with {weights.names(model, parameters)[0]} by --weights"
            )
        return Finding(what, f"not here yet; {url} can be downloaded")

    def _model(self, model: str) -> Finding:
        what, e = f"model {model}", self.experiment
        if self.facts is None:
            raise JobError(
                "not measured: the data is not there; data.image_size and data.train in the file would do"
            )
        found = self._probe(model)
        if "error" in found:
            return Finding(what, found["error"], found["code"])
        cost = costs(e, model, self.facts.train, found)
        point = (
            f" at the costliest point ({', '.join(f'{k} {v}' for k, v in found['point'].items())})"
            if found["point"]
            else ""
        )
        batches = ", ".join(f"{s:.2g} s with batches of {b}" for b, s in cost["epoch_s"].items())
        features = f", features once {cost['features_s']:.2g} s" if e.frozen(model) else ""
        epochs = e.models[model]["epochs"]
        return Finding(
            what,
            f"{found['parameters']:,} parameters{point}; an epoch about {batches}{features}; {found['memory_bytes'] / 1e9:.1f} GB of memory;"
            f" {e.search['trials']} trials x {epochs} epochs, {e.folds['count']} folds, {e.final['seeds']} final{'s' if e.final['seeds'] > 1 else ''}:"
            f" at most about {device_time(cost['device_hours'])} without pruning",
            measured=found | cost,
        )

    def _probe(self, model: str | None) -> dict:
        """Return what a process of its own finds out of a model, or of the device."""
        request = {"model": model}
        if model:
            facts = self.facts
            request |= {
                "spec": self.experiment.spec,
                "image_shape": facts.image_shape,
                "classes": facts.classes,
            }
            request["weights"] = self.found.get(model)
        with (
            tempfile.TemporaryFile("w+") as asked,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            asked.write(json.dumps(request))
            asked.seek(0)
            child = subprocess.Popen(
                command(module="job.preflight.probe"), stdin=asked, stdout=out, stderr=err
            )
            try:
                while child.poll() is None:
                    INTERRUPT.sleep(POLL_S)
            finally:
                child.kill()
                child.wait()
            for file in (out, err):
                file.seek(0)
            if child.returncode == 0:
                return json.loads(out.read().splitlines()[-1])
            if child.returncode == -9:
                raise JobError(
                    "killed, by all appearances out of memory: give it more, or search smaller batches and nets"
                )
            said = err.read().strip().splitlines() or ["no word"]
            raise JobError(f"its process ended with {child.returncode}: {said[-1]}")


def _not_set(what: str, name: str) -> Finding:
    setting = SETTINGS[name]
    return Finding(what, f"{setting.variable} is not set: {setting.help}", looked=False)


def _shape(size: int | list[int]) -> tuple[int, int, int]:
    """Return what `data.image_size` makes of an image."""
    return (*(size if isinstance(size, list) else (size, size)), 3)


def _facts(facts: Facts) -> str:
    height, width = facts.image_shape[:2]
    return f"{facts.train:,} training images of {width} x {height} (width x height), {facts.classes} classes"
