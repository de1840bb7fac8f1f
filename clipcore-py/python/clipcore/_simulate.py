"""Streams whose highlights are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clipcore import _clipcore
from clipcore._records import Label
from clipcore._replay import PathLike
from clipcore._tables import Labels


@dataclass(frozen=True, repr=False)
class Simulation:
    """A simulated stream and its truth."""

    stream: str
    lines: tuple[str, ...]
    """Events, and signals where the scenario has them, as JSON lines."""
    labels: Labels

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The lines as dictionaries."""
        return [json.loads(line) for line in self.lines]

    def write(self, folder: PathLike) -> Path:
        """Writes ``<stream>.jsonl`` into ``folder``; gives its path."""
        path = Path(folder) / f"{self.stream}.jsonl"
        path.write_text("".join(line + "\n" for line in self.lines), encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"Simulation({self.stream!r}: {len(self.lines)} lines, {len(self.labels)} highlights)"


def simulate(
    *, seed: int = 1, hours: float = 1.0, stream: str = "sim", scenario: Mapping[str, Any] | None = None
) -> Simulation:
    """Simulates chat (and, where the scenario says so, signals of sound and faces) with known highlights.

    The same seed gives the same stream on every machine. A simulation shows that a detector copes with what is simulated, not
    that it works on people: tune on recordings.

    Args:
        seed: Everything random follows from it.
        hours: How long the stream is.
        stream: Its id.
        scenario: Sections and keys of ``clipcore simulate --scenario``, for example ``{"chat": {"rate": 5.0}}``.

    Raises:
        ConfigError: A key does not exist or is out of range.
    """
    asked = {"seed": seed, "length": hours * 3600.0, "stream": stream, **(scenario or {})}
    lines, labels = _clipcore.simulate(json.dumps(asked))
    return Simulation(stream, tuple(lines), Labels(Label.from_dict(label) for label in json.loads(labels)))
