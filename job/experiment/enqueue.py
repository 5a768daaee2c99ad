# pyright: strict, reportUnknownVariableType=false
"""The points of `search.enqueue`, which the search tries first."""

from typing import Any

from job.experiment.kinds import Choice, Range, Space, Table, contains, is_list, is_table, to_json
from job.sentences import expect, nearest, show


def read_enqueue(points: Any, models: dict[str, Table]) -> tuple[Table, ...]:
    """Return the points of a file, checked.

    Args:
        points: `search.enqueue`, as read.
        models: the parameters of each model.

    Raises: Invalid for a key that no model searches, or a value outside of a search space.
    """
    expect(
        is_list(points) and all(is_table(point) for point in points),
        f"search.enqueue = {show(points)}: expected a list of tables",
    )
    for i, point in enumerate(points):
        for key, value in point.items():
            _check_coordinate(key, value, models, f"search.enqueue[{i}].{key}")
    return tuple(points)


def _check_coordinate(key: str, value: Any, models: dict[str, Table], where: str) -> None:
    """Refuse a value of a point that no model searches, or that one searches elsewhere."""
    spaces = {
        model: table[key]
        for model, table in models.items()
        if isinstance(table.get(key), (Choice, Range))
    }
    expect(bool(spaces), f"{where}: no model searches '{key}'{nearest(key, _searched(models))}")
    for model, space in spaces.items():
        expect(
            _is_inside(value, space),
            f"{where} = {show(value)}: outside the search space of {model}, {show(to_json(space))}",
        )


def _searched(models: dict[str, Table]) -> set[str]:
    """Return the keys that any model searches."""
    return {
        key
        for table in models.values()
        for key, value in table.items()
        if isinstance(value, (Choice, Range))
    }


def _is_inside(value: Any, space: Space) -> bool:
    return isinstance(value, (bool, int, float, str)) and contains(space, value)
