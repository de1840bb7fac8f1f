"""What evidence weighs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy
import numpy.typing

from clipcore import _clipcore
from clipcore._records import Signal
from clipcore._replay import PathLike
from clipcore._settings import settings


@dataclass(frozen=True, eq=False)
class LogOdds:
    """The log-odds of a moment, once a second."""

    at: numpy.typing.NDArray[numpy.float64]
    """Seconds of stream time."""
    value: numpy.typing.NDArray[numpy.float64]
    """Log-odds, as the weights weigh the evidence."""
    enter: float
    """What opens a moment."""


def log_odds(signals: Iterable[Signal], *, weights: PathLike | None = None) -> LogOdds:
    """What the signals of one stream weigh together, once a second; where it exceeds ``enter``, a moment opens."""
    at, value, enter = _clipcore.log_odds(settings(None, weights=weights), [s.to_json() for s in signals])
    return LogOdds(numpy.asarray(at), numpy.asarray(value), enter)
