"""Custom models: where a user's factory is, the hash of its source, and the function itself.

The source is the factory's module and every module it imports from its own package or folder,
directly or through others, as far as `import` statements tell. Their hash is part of the
experiment. Other packages do not count. Nothing here imports TensorFlow, but the factory may.
"""

import ast
import dataclasses
import difflib
import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.sentences import first_line

# The neighbors of a package in these folders are not part of its source.
INSTALLED = ("site-packages", "dist-packages")
WHERE = (
    "it must be installed, in a folder that PYTHONPATH names, or in the folder `job` is called from"
)


def with_source_hashes(experiment: Experiment) -> Experiment:
    """Return the experiment with the source hash of each of its custom models.

    Raises:
        Invalid: a factory has no readable source, or the experiment names another hash.
    """
    models = dict(experiment.models)
    for model, parameters in experiment.factories().items():
        digest = source(parameters["factory"])
        if parameters.get("source", digest) != digest:
            raise Invalid(
                f'models.{model}.source = "{parameters["source"]}":'
                f" {_what_is_here(parameters['factory'], digest)}"
            )
        models[model] = parameters | {"source": digest}
    return dataclasses.replace(experiment, models=models)


def check(model: str, parameters: dict) -> None:
    """Raise `Invalid` unless the source found here is the one the experiment was prepared with."""
    digest = source(parameters["factory"])
    if digest != parameters["source"]:
        raise Invalid(
            f"model {model} was prepared with the source {parameters['source']}, but"
            f" {_what_is_here(parameters['factory'], digest)}: give this worker the files that"
            " `job prepare` saw (image, shared folder, PYTHONPATH), or prepare the changed ones"
            " under a new name"
        )


def _what_is_here(factory: str, digest: str) -> str:
    file = next(iter(_files(factory.partition(":")[0]).values()))
    return f"{file} and what it imports are {digest} here"


def function(factory: str) -> Callable:
    """Import and return a factory's function.

    Raises:
        Invalid: there is no such module or function, or importing the module fails.
    """
    module, _, name = factory.partition(":")
    file = _find(module)[0]
    try:
        imported = importlib.import_module(module)
    except Exception as exc:
        raise Invalid(
            f'factory = "{factory}": importing {file} failed: {describe(exc, file)}'
        ) from exc
    result = getattr(imported, name, None)
    if not callable(result):
        names = _defined_in(imported)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise Invalid(
            f'factory = "{factory}": {file} has no function {name}{hint};'
            f" it defines {', '.join(names) or 'none'}"
        )
    return result


def _defined_in(module: ModuleType) -> list[str]:
    """Return the names of the functions and classes that a module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]


def source(factory: str) -> str:
    """Return 16 hexadecimal digits of a sha256 over the names and bytes of a factory's source.

    Raises:
        Invalid: there is no such module, or a file of it is not Python.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files(factory.partition(":")[0]).items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def describe(exc: Exception, file: Path) -> str:
    """Return an exception on one line, with the last line of the user's file it passed through."""
    line = None
    trace = exc.__traceback__
    while trace:
        if os.path.realpath(trace.tb_frame.f_code.co_filename) == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" ({file.name}, line {line})" if line else ""
    return f"{type(exc).__name__}: {first_line(exc)}{where}"


def file_of(factory: str) -> Path:
    """Return the file that defines a factory.

    Raises:
        Invalid: there is no such module.
    """
    return _find(factory.partition(":")[0])[0]


def _files(module: str) -> dict[str, Path]:
    """Return a factory's source files by their path below the folder of their package.

    The module's own file comes first, then those it imports from its package or folder.
    """
    first, root = _find(module)
    package = module.split(".")[0]
    neighbors_count = not any(part in INSTALLED for part in root.parts)
    files = {}
    queue = [(module, first)]
    while queue:
        name, path = queue.pop(0)
        key = path.relative_to(root).as_posix()
        if key in files:
            continue
        files[key] = path
        for imported in _imports(path, name):
            top = imported.split(".")[0]
            if top == package or (neighbors_count and top != "job"):
                queue += _below(root, imported)
    return files


def _below(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of a module below a folder, and of the packages that contain it.

    Yield nothing for a module that is elsewhere.
    """
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:n])
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                yield ".".join(parts[:n]), file


def _imports(path: Path, name: str) -> set[str]:
    """Return the full names of everything a module may import, anywhere in its file.

    Raises:
        Invalid: the file is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as exc:
        raise Invalid(f"{path} cannot be parsed as Python: {first_line(exc)}") from exc
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    names = {name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _import_base(node, package)
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def _import_base(node: ast.ImportFrom, package: list[str]) -> list[str]:
    """Return what `from` names, in parts; a relative name begins in the package given."""
    module = [node.module] if node.module else []
    if node.level:
        return [*package[: len(package) + 1 - node.level], *module]
    return module


def _find(module: str) -> tuple[Path, Path]:
    """Return a module's file and the folder its full name begins in, without importing anything.

    Raises:
        Invalid: there is no such module, or it is not a Python file.
    """
    if os.getcwd() not in sys.path:  # `python -m job` puts it there, `job` does not
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    parts = module.split(".")
    origin = _origin(module)
    if not origin or not origin.endswith(".py"):
        raise Invalid(
            f'factory = "{module}:...": {module} is not a Python file ({origin or "a folder"});'
            " expected package.module:function"
        )
    file = Path(origin).resolve()
    depth = len(parts) if file.name == "__init__.py" else len(parts) - 1
    return file, file.parents[depth]


def _origin(module: str) -> str | None:
    """Return the path a module would be imported from, None for a folder without __init__.py.

    Raises:
        Invalid: there is no such module.
    """
    origin = None
    search_path = None
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        spec = _spec(name, search_path)
        if spec is None:
            raise Invalid(f'factory = "{module}:...": there is no module {name}: {WHERE}')
        search_path = spec.submodule_search_locations
        if search_path is None and n < len(parts):
            raise Invalid(f'factory = "{module}:...": there is no package {name}: {WHERE}')
        origin = spec.origin
    return origin


def _spec(name: str, search_path: Sequence[str] | None) -> ModuleSpec | None:
    """Return the first answer of the import system's finders."""
    for finder in sys.meta_path:
        if spec := finder.find_spec(name, search_path):
            return spec
    return None
