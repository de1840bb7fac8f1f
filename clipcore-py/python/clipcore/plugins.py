"""Detectors, sources and sinks of installed packages, found by their entry points.

A package declares them in its ``pyproject.toml``:

    [project.entry-points."clipcore.detectors"]
    airhorn = "my_package:AirHorn"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from clipcore._errors import NotFound

Group = Literal["detectors", "sources", "sinks"]


def available(group: Group) -> dict[str, EntryPoint]:
    """What is installed, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=f"clipcore.{group}")}


def load(group: Group, name: str) -> Any:
    """Imports one.

    Raises:
        NotFound: No installed package has it; the error says what there is.
    """
    found = available(group)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise NotFound(f"no installed package has {group[:-1]} {name!r}", hint=f"installed are: {known}")
    return found[name].load()
