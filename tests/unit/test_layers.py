"""The layers: rooms know only the rooms below them, and each outside library has one fence."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "job"
# room -> the rooms it knows, from the ground up: a room knows only earlier ones. The files on top
# know no room, and every room knows them.
ROOMS = {
    "experiment": set(),
    "coordination": {"experiment"},
    "storage": {"experiment"},
    "data": {"experiment", "coordination", "storage"},
    "learning": {"experiment", "storage", "data"},
    "verify": {"experiment", "coordination", "storage", "data", "learning"},
    "work": {"experiment", "coordination", "storage", "data", "learning", "verify"},
    "report": {"experiment", "coordination", "storage", "learning"},
    "export": {"experiment", "coordination", "storage", "data", "learning", "report"},
    "local": {"experiment", "coordination", "data", "learning"},
    "preflight": {"experiment", "coordination", "storage", "data", "learning", "local"},
}
ROOMS["cli"] = {*ROOMS} - {"learning"}
FENCES = {
    "keras": {"learning.backend"},
    "tensorflow": {"learning.backend"},
    "boto3": {"storage.s3_client"},
    "botocore": {"storage.s3", "storage.s3_client", "storage.s3_errors"},
    "cryptography": {"local.certificate"},
    "optuna": {"coordination.study"},
    "psycopg2": {
        "coordination.address",
        "coordination.connection",
        "coordination.database",
        "coordination.trouble",
    },
    "sqlalchemy": {"coordination.study"},
    "click": {
        "cli.cli",
        "cli.local",
        "cli.options",
        "cli.overview",
        "cli.preflight",
        "cli.upkeep",
        "cli.use",
        "cli.work",
        "local.local",
        "local.progress",
    },
    "google": {"data.formats.tfrecords"},
    "google_crc32c": {"data.formats.tfrecords"},
    "pyarrow": {"data.formats.parquet"},
    "matplotlib": {"report.drawing", "report.scores", "report.search"},
    "optuna_dashboard": {"cli.dashboard"},
    "rich": {"cli.status_watch", "data.progress", "local.progress"},
}
FILES = {
    ".".join(f.relative_to(PACKAGE).with_suffix("").parts): f for f in sorted(PACKAGE.rglob("*.py"))
}


def room(module: str) -> str | None:
    """Return the folder below `job` that a module lives in, None on top."""
    first, _, below = module.partition(".")
    return first if below else None


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def ours(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, named from `job` on."""
    names = [
        n.removeprefix("job.")
        for n in imports(path)
        if n.startswith("job.") and n != "job.__version__"
    ]
    return {n if n in FILES else n.rpartition(".")[0] for n in names}


KNOWN = {module: ours(path) for module, path in FILES.items()}


def test_every_folder_is_a_room():
    """Every folder is a listed room whose `__init__` gives its purpose in a sentence or two."""
    folders = {room(module) for module in FILES} - {None}
    assert folders == {*ROOMS}
    for folder in folders:
        (docstring,) = ast.parse(FILES[f"{folder}.__init__"].read_text()).body
        assert isinstance(docstring.value.value, str), (
            f"{folder}/__init__.py holds its docstring and no code"
        )


def test_arrows_point_down():
    """No room may import a room above it, so no two rooms need each other."""
    rooms = [*ROOMS]
    assert [(a, b) for a in rooms for b in ROOMS[a] if b not in rooms[: rooms.index(a)]] == []


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_what_it_may(name):
    """A room imports only the rooms that the list allows, and the list allows nothing unused."""
    assert {room(n) for module in FILES if room(module) == name for n in KNOWN[module]} - {
        name,
        None,
    } == ROOMS[name]


def test_the_top_knows_no_room():
    """Rooms may import the files on top, of which only the entry point imports a room."""
    assert {
        module: above
        for module in FILES
        if not room(module) and (above := {*filter(room, KNOWN[module])})
    } == {"__main__": {"cli.cli"}}


@pytest.mark.parametrize("library", FENCES)
def test_one_fence_a_library(library):
    """Only its fence imports an outside library."""
    assert {
        module
        for module, path in FILES.items()
        if any(n.split(".")[0] == library for n in imports(path))
    } == FENCES[library]


def test_no_circle():
    """No module reaches itself by imports, not even within a room."""
    graph = dict(KNOWN)
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}, "these modules need each other"
