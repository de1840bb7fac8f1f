"""Recorded events in, moments out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from clipcore import _clipcore
from clipcore._detector import Factory, specs
from clipcore._errors import DetectorWarning, Error, ReplayWarning
from clipcore._model import Model
from clipcore._records import Moment, Record, Signal
from clipcore._settings import Config, Consent, settings
from clipcore._tables import Moments, Signals
from clipcore.progress import Progress

PathLike = Union[str, "os.PathLike[str]"]
Events = Union[PathLike, bytes, Iterable[Union[PathLike, Mapping[str, Any], Record]]]
"""A file (``.gz`` and ``.zst`` are unpacked) or a folder of an earlier run, several of them, bytes of JSON lines, or events as
dictionaries and signals in memory."""


@dataclass(frozen=True)
class FileReport:
    """What was read of one input."""

    path: Path
    lines: int
    events: int
    signals: int
    withheld: int
    """Events that consent does not let through at all."""
    bad: int
    """Lines that could not be used."""
    bad_lines: tuple[tuple[int, str], ...]
    """The first of them, with the reason."""
    streams: tuple[str, ...]
    error: Error | None
    """Why reading ended early, where it did; what was read before was replayed."""


@dataclass(frozen=True)
class Failure:
    """A detector in Python that raised, and was off from then on."""

    detector: str
    stream: str
    at: float
    """The instant of the event it was shown, in seconds of stream time."""
    error: BaseException
    """What it raised, with its traceback."""

    def __str__(self) -> str:
        return f"detector {self.detector} of {self.stream} is off since {self.at:.3f} s: {self.error!r}"

    def warn(self, stacklevel: int = 2) -> None:
        """Says so as a [`DetectorWarning`][clipcore.DetectorWarning]."""
        warnings.warn(str(self), DetectorWarning, stacklevel=stacklevel + 1)


@dataclass(frozen=True, repr=False)
class Replay:
    """What a replay found."""

    transitions: Moments
    """Every transition of every moment, in order: what ``clipcore replay`` prints."""
    signals: Signals
    """What the detectors found in the events."""
    files: tuple[FileReport, ...]
    failures: tuple[Failure, ...]

    @property
    def moments(self) -> Moments:
        """The confirmed moments, each in its last transition."""
        return self.transitions.closed()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were replayed."""
        return tuple(file.path for file in self.files if file.path.exists())

    def __repr__(self) -> str:
        events = sum(file.events for file in self.files)
        failed = f", {len(self.failures)} detectors failed" if self.failures else ""
        return f"Replay({len(self.moments)} moments and {len(self.signals)} signals from {events} events{failed})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.moments._repr_html_()}"


def replay(
    events: Events,
    *,
    consent: Consent = None,
    config: Config = None,
    weights: PathLike | None = None,
    stream: str = "stream",
    detectors: Iterable[Factory | str] = (),
    models: Iterable[Model] = (),
    threads: int = 0,
    progress: Progress | None = None,
    errors: Literal["raise", "keep"] = "raise",
) -> Replay:
    """Replays recorded events: the same input gives the same moments on every machine, and those of the program.

    Args:
        events: See [`Events`][clipcore._replay.Events].
        consent: What the people concerned agreed to; without ``chat_text``, chat's words are dropped before any detector.
        config: Settings, as a TOML file or a mapping.
        weights: Decide with these weights, from [`tune`][clipcore.tune].
        stream: The stream of events in memory that name none. Files name theirs, or are named after their file.
        detectors: Detectors in Python beside the built-in ones (those can be switched off in ``config``).
        models: Models in Python that they ask.
        threads: How many files are replayed at once; 0 is one for each core. The result does not depend on it.
        progress: Called as ``progress(done, total, path)`` on this thread.
        errors: Whether a file that cannot be read raises once the others are done, or is only kept in ``files``.

    Raises:
        NotFound: There is no such file.
        ConfigError: A setting or a detector makes no sense.
    """
    paths, text = _inputs(events)
    found, heard, files, failed = _clipcore.replay(
        settings(config, consent=consent, weights=weights),
        paths,
        text,
        stream,
        specs(detectors),
        list(models),
        threads,
        progress,
    )
    reports = tuple(_report(json.loads(told), error) for told, error in files)
    failures = tuple(Failure(*parts) for parts in failed)
    for failure in failures:
        failure.warn()
    for file in reports:
        if file.error is not None and errors == "raise":
            raise file.error
        if file.bad and file.events + file.signals == 0 and errors == "raise":
            from clipcore._errors import InvalidInput

            number, why = file.bad_lines[0]
            raise InvalidInput("none of its lines is an event", context={"path": str(file.path), "line": str(number)}, source=why)
        if file.bad:
            number, why = file.bad_lines[0]
            warnings.warn(
                f"{file.path}: {file.bad} lines were passed over, the first of them line {number}: {why}", ReplayWarning, stacklevel=2
            )
    return Replay(
        Moments(Moment.from_json(line) for line in found), Signals(Signal.from_json(line) for line in heard), reports, failures
    )


def _report(told: dict[str, Any], error: Error | None) -> FileReport:
    told["bad_lines"] = tuple((number, why) for number, why in told["bad_lines"])
    return FileReport(**{**told, "path": Path(told["path"]), "streams": tuple(told["streams"])}, error=error)


def _inputs(events: Events) -> tuple[list[str], bytes | None]:
    """Paths, and the lines of what is in memory."""
    if isinstance(events, (str, os.PathLike)):
        return [os.fspath(events)], None
    if isinstance(events, (bytes, bytearray)):
        return [], bytes(events)
    paths: list[str] = []
    lines: list[str] = []
    for item in events:
        if isinstance(item, (str, os.PathLike)):
            paths.append(os.fspath(item))
        else:
            lines.append(json.dumps(item.to_dict() if isinstance(item, Record) else dict(item)))
    return paths, "\n".join(lines).encode() if lines or not paths else None
