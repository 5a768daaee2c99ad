"""The house: imports point down only, and each outside library has one fence."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "job"
LAYERS = [
    {
        "errors",
        "reading",
        "backbones",
        "parameters",
        "experiment",
        "specification",
        "settings",
        "text",
        "files",
        "keys",
        "stamps",
        "randomness",
        "recipe",
        "splits",
        "logs",
        "backend",
        "child",
        "__init__",
    },
    {"statements", "connection", "place", "database", "store", "folder", "interrupt", "index", "server", "certificate"},
    {
        "outbox",
        "paths",
        "staged",
        "attempt",
        "tasks",
        "study",
        "archives",
        "downloads",
        "names",
        "foreign",
        "decoding",
        "layout",
        "labels",
        "pictures",
        "groups",
        "dataset",
        "cifar10",
        "npz",
        "sources",
        "weights",
        "cache",
        "data",
        "models",
        "augment",
    }
    | {"checkpoint", "record", "factories", "kernels"},
    {"train", "evaluate"},
    {
        "run",
        "results",
        "artifacts",
        "runs",
        "replay",
        "prepare",
        "describe",
        "status",
        "lines",
        "watch",
        "report",
        "verify",
        "gc",
        "repair",
        "rehearsal",
        "probe",
        "costs",
        "findings",
        "trained",
        "predict",
        "export",
    },
    {"worker", "turns", "embedded", "serve", "fallback", "local", "progress", "dashboard", "cli", "__main__", "check"},
]
FENCES = {
    "keras": {"backend"},
    "tensorflow": {"backend"},
    "boto3": {"store"},
    "botocore": {"store"},
    "cryptography": {"certificate"},
    "optuna": {"study"},
    "psycopg2": {"connection", "database"},
    "sqlalchemy": {"study"},
    "click": {"cli", "local", "progress"},
    "matplotlib": {"report"},
    "optuna_dashboard": {"dashboard"},
    "rich": {"watch", "progress"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """Return the module or subpackage directly below `job` a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def imports(path: Path) -> set[str]:
    """Return the dotted names of all modules a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{a.name}" for a in node.names} if node.module == "job" else {node.module}
    return found


def test_every_room_has_a_layer():
    """A new file says where it stands before it stands anywhere."""
    assert {room(f) for f in FILES} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path):
    """No file imports from a layer above its own."""
    ours = [n.split(".")[1] for n in imports(path) if n.startswith("job.") and n != "job.__version__"]
    assert [n for n in ours if layer(n) > layer(room(path))] == []


@pytest.mark.parametrize("library", FENCES)
def test_one_fence_a_library(library):
    """An outside library is imported by its fence only."""
    importers = {room(f) for f in FILES if any(n.split(".")[0] == library for n in imports(f))}
    assert importers == FENCES[library]


def test_no_circle():
    """Within a layer, too, no room reaches itself, however long the way round."""
    graph = {}
    for file in FILES:
        ours = {n.split(".")[1] for n in imports(file) if n.startswith("job.")} - {"__version__", room(file)}
        graph[room(file)] = graph.get(room(file), set()) | ours
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}, "these rooms need each other"
