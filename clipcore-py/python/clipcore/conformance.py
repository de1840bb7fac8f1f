"""The test kit that every detector of clipcore passes, for yours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Union

import numpy

from clipcore import _clipcore
from clipcore._clipcore import Audio16k, AudioWindow, VideoFrame
from clipcore._detector import Factory, spec
from clipcore._model import Model

Case = Union[Mapping[str, Any], "tuple[float, numpy.typing.NDArray[Any]]", "tuple[float, numpy.typing.NDArray[Any], int]"]
"""An event as a dictionary; or ``(at, array)`` with sound at 16 kHz (float32, one dimension) or a picture (uint8, ``[h, w, 3]``); or
``(at, array, rate)`` with sound as it comes."""


def check_detector(
    detector: Factory, *, events: Iterable[Case] | None = None, models: Iterable[Model] = (), seed: int = 7
) -> None:
    """Checks that a detector keeps its contract.

    It must find nothing without input; its signals must lie within the time it was told, carry declared labels and have ids of
    their own; and they must be the same whatever the steps of time, after a snapshot and restore at every event, and in a
    new object. A state that is none must be refused.

    Args:
        detector: A detector class or factory.
        events: What to show it, in order of time; made-up events of every kind, and sound, where absent. Pictures have to be given.
        models: Models that it asks.
        seed: Seed of the made-up events.

    Raises:
        InternalError: What the detector did that it must not do.
        Exception: Whatever the detector raises itself, with its traceback.
    """
    cases = None if events is None else [_case(case) for case in events]
    for _, _, _, error in _clipcore.check_detector(spec(detector), list(models), cases, seed):
        raise error


def _case(case: Case) -> str | tuple[str, float, int, numpy.typing.NDArray[Any]]:
    if isinstance(case, Mapping):
        return json.dumps(case)
    at, array, *rate = case
    if array.ndim == 3:
        return VideoFrame.KIND, at, 0, numpy.ascontiguousarray(array, dtype=numpy.uint8)
    sound = numpy.ascontiguousarray(array, dtype=numpy.float32)
    return (AudioWindow.KIND, at, rate[0], sound) if rate else (Audio16k.KIND, at, 16_000, sound)
