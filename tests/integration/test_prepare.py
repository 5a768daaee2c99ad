"""`prepare` is idempotent, may run in parallel, and refuses changes under an old name."""

import json
import tomllib

import pytest
from PIL import Image

from job.coordination.database import Database
from job.data import staged
from job.errors import Invalid
from job.experiment.specification import parse
from job.storage.cache import Cache
from job.storage.store import open_store
from job.work.prepare import prepare
from tests.support.experiments import write_images

FILE = """
name = "small"
[data]
source = "digits"
[search]
trials = 3
[models.cnn]
epochs = 2
width = 4
"""


@pytest.fixture
def written(site):
    def write(text=FILE):
        (site.folder / "small.toml").write_text(text)
        return site

    return write


def counts(site) -> list[int]:
    """Return the numbers of experiments, tasks, Optuna trials and studies."""
    tables = ("experiment", "task", "trials", "studies")
    database = Database(site.database_url, 5)
    return [database.rows(f"select count(*)::int as n from {t}")[0]["n"] for t in tables]


def test_twice_is_once(written):
    """A second `prepare` changes nothing: it adds no task, no trial and no object."""
    site = written()
    site.job("prepare", "small.toml", check=0)
    store = open_store(site.store_url, 5)
    before = counts(site), store.listing("")
    site.job("prepare", "small.toml", check=0)
    assert (counts(site), store.listing("")) == before
    assert counts(site) == [1, 3 + 5 + 1, 3, 1]


def test_two_names_of_one_data_set(site):
    """Equal images under two names are staged once; the first experiment's record stays true."""
    write_images(site.folder / "images.npz")
    (site.folder / "copy.npz").write_bytes((site.folder / "images.npz").read_bytes())
    for name, source in (("first", "images.npz"), ("second", "copy.npz")):
        text = FILE.replace('"small"', f'"{name}"').replace('"digits"', f'"{source}"')
        (site.folder / f"{name}.toml").write_text(text)
        site.job("prepare", f"{name}.toml", check=0)
    assert len(open_store(site.store_url, 5).listing("data/")) == 9
    site.job("verify", check=0)


def test_many_at_once(written):
    """Six preparers that start at once on an empty database succeed and make one experiment."""
    site = written()
    started = [site.start("prepare", "small.toml") for _ in range(6)]
    for child in started:
        child.wait(120, check=0)
    assert counts(site) == [1, 9, 3, 1]


def test_trials_grow_and_nothing_else(written):
    """Raising trials adds tasks; any other change is refused with the difference and what to do."""
    site = written()
    site.job("prepare", "small.toml", check=0)
    written(FILE.replace("trials = 3", "trials = 7"))
    site.job("prepare", "small.toml", check=0)
    assert counts(site) == [1, 13, 7, 1]
    written(FILE.replace("trials = 3", "trials = 7").replace("epochs = 2", "epochs = 4"))
    refused = site.job("prepare", "small.toml", check=78)
    difference = "models.cnn.epochs: 2 -> 4. Give the file a new name"
    assert f"experiment small exists and differs: {difference}" in refused.stderr
    written()
    refused = site.job("prepare", "small.toml", check=78)
    assert "search.trials = 3, but 7 trials exist already" in refused.stderr
    assert counts(site) == [1, 13, 7, 1]


def test_an_experiment_goes_on_by_its_method(written):
    """A file without a method continues an existing experiment with that experiment's method.

    A file that names another method is refused.
    """
    site = written("method = 1\n" + FILE)
    site.job("prepare", "small.toml", check=0)
    database = Database(site.database_url, 5)
    before = database.rows("select spec, fingerprint from experiment")
    assert "method" not in before[0]["spec"], "what the first versions wrote"
    written(FILE.replace("trials = 3", "trials = 5"))
    again = site.job("prepare", "small.toml", check=0)
    note = "small: continues with method 1, as it began; its file names none, which means method 3"
    assert note in again.stderr
    after = database.rows("select spec, fingerprint from experiment")
    assert after[0]["fingerprint"] == before[0]["fingerprint"]
    assert "method" not in after[0]["spec"]
    assert counts(site) == [1, 11, 5, 1]
    written("method = 2\n" + FILE.replace("trials = 3", "trials = 5"))
    refused = site.job("prepare", "small.toml", check=78)
    assert "experiment small exists and differs: method: 1 -> 2" in refused.stderr


def test_references_may_change(written):
    """A file with changed [[reference]] rows is accepted, and the report shows the new rows.

    References are only shown next to the results.
    """
    site = written()
    site.job("prepare", "small.toml", check=0)
    written(FILE + '[[reference]]\nname = "theirs"\nmodel = "cnn"\naccuracy = 0.5\n')
    site.job("prepare", "small.toml", check=0)
    row = Database(site.database_url, 5).rows("select spec from experiment")[0]
    assert row["spec"]["reference"][0]["name"] == "theirs"


def test_a_recreated_database_over_an_old_bucket(written, postgres):
    """Each `prepare` of a new experiment makes a new id, so that old artifacts never collide."""
    site = written()
    site.job("prepare", "small.toml", check=0)
    database = Database(site.database_url, 5)
    first = database.rows("select id from experiment")[0]["id"]
    site.job("drop", "small", check=0)
    site.job("prepare", "small.toml", check=0)
    assert database.rows("select id from experiment")[0]["id"] != first
    assert "there is no experiment 'other'" in site.job("drop", "other", check=2).stderr
    assert counts(site) == [1, 9, 3, 1]


def test_a_failing_prepare_leaves_nothing(written):
    """Data that cannot be split leaves neither rows nor objects."""
    site = written(FILE.replace("[models.cnn]", "[folds]\ncount = 900\n[models.cnn]"))
    refused = site.job("prepare", "small.toml", check=78)
    assert "folds.count = 900: class" in refused.stderr
    assert Database(site.database_url, 5).rows("select * from experiment") == []
    assert open_store(site.store_url, 5).listing("") == []


def test_the_test_part_is_apart(written):
    """Training and test parts are separate files, and the manifest names every file."""
    site = written()
    site.job("prepare", "small.toml", check=0)
    data = Database(site.database_url, 5).rows("select data from experiment")[0]["data"]
    store = open_store(site.store_url, 5)
    manifest = json.loads(store.get(f"data/{data['id']}/manifest.json"))
    assert manifest["train"] + manifest["test"] == 1797
    assert manifest["duplicates"] == {"train": 0, "train_test": 0}
    assert {"train-images.npy", "test-images.npy", "test-labels.npy"} <= set(manifest["files"])


def test_twenty_thousand_tasks(written):
    """20,000 trials are prepared within the statement timeout.

    Comparing each task with every other one would take longer.
    """
    site = written(FILE.replace("trials = 3", "trials = 20_000"))
    site.job("prepare", "small.toml", check=0)
    assert counts(site) == [1, 20_000 + 5 + 1, 20_000, 1]
    unbound = (
        "select count(*)::int as n from task where stage = 'trial' and optuna_trial_id is null"
    )
    assert Database(site.database_url, 5).rows(unbound) == [{"n": 0}]


def test_what_a_reader_notes_is_kept(site, tmp_path):
    """A note on how the data was read is logged once and stored in the staged manifest.

    The manifest in the database and the one in the store both have it.
    """
    for i in range(40):
        picture = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(picture)
    (tmp_path / "set/a/README.txt").write_text("no image")
    text = f"""
name = "small"
data.source = "{tmp_path}/set"
folds.count = 2
models.cnn.epochs = 1
"""
    (site.folder / "small.toml").write_text(text)
    done = site.job("prepare", "small.toml", check=0)
    manifest = Database(site.database_url, 5).rows("select data from experiment")[0]["data"]
    note, few = manifest["notes"]
    assert few.startswith("6 validation images: the standard error of an accuracy is up to 20.4")
    assert "a/README.txt" in note and done.stderr.count("a/README.txt") == 1
    stored = json.loads(open_store(site.store_url, 5).get(f"data/{manifest['id']}/manifest.json"))
    assert stored["notes"] == [note]
    assert f"note: {note}" in site.job("status", "--experiment", "small", check=0).stdout
    # The note is logged again, although the data is not read again.
    again = site.job("prepare", "small.toml", check=0)
    assert again.stderr.count("a/README.txt") == 1


DAMAGES = {
    "missing": None,
    "cut": lambda content: content[:-7],
    "other bytes": lambda content: bytes(len(content)),
}


@pytest.fixture
def staging(site):
    """Return a function that prepares images in this process, their file, store and database."""
    write_images(site.folder / "images.npz")
    experiment = parse(tomllib.loads(FILE.replace("digits", "images.npz")))
    database = Database(site.database_url, 5)
    store = open_store(site.store_url, 5)
    cache = Cache(store, site.folder / "cache", 1.0)
    source = site.folder / "images.npz"
    return lambda: prepare(database, experiment, cache, str(source)), source, store, database


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_the_store_has_lost_is_staged_again(staging, damage):
    """Every staged object that is missing or damaged is staged again, and no intact one.

    Size, etag and hash decide, not the presence of the manifest.
    """
    go, _, store, _ = staging
    known = go()
    before = {o.key: store.get(o.key) for o in store.listing("data/")}
    assert before.keys() == staged.objects(known).keys()
    for key, content in list(before.items())[::2]:
        store.delete([key])
        if change := DAMAGES[damage]:
            store.put(key, change(content))
    assert sorted(staged.inspect(store, known)[1]) == list(before)[::2]
    again = go()
    assert {o.key: store.get(o.key) for o in store.listing("data/")} == before
    assert staged.inspect(store, again) == (again.data.objects, [])


def test_an_etag_of_another_time_is_no_damage(staging):
    """A missing or new etag is no damage: the bytes are read, and the etag is recorded.

    Experiments of older versions have no etags; a copied store has new ones.
    """
    go, source, _, database = staging
    known = go()
    source.unlink()
    path = f'{{stored,"{known.splits["key"]}",etag}}'
    for changed in ("data - 'stored'", f"""jsonb_set(data, '{path}', '"x"')"""):
        database.rows(f"update experiment set data = {changed}")
        assert go().data.objects == known.data.objects


def test_a_source_that_is_gone(staging):
    """Without its source, lost data ends in one sentence: what is lost, and why it stays lost."""
    go, source, store, _ = staging
    known = go()
    source.unlink()
    store.delete([known.splits["key"]])
    lost = f"{known.splits['key']} is missing in the store, or .*"
    with pytest.raises(Invalid, match=f"{lost}, and cannot be staged again: .*images.npz"):
        go()
