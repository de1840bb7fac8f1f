"""Models in Python: what detectors ask, batched across streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Union, runtime_checkable

import numpy
import numpy.typing

Array = numpy.typing.NDArray[numpy.float32]
Tensors = Union[Array, Mapping[str, Array]]
"""What goes into a model for one item, or comes out of it: one array, or several by name; float32."""


@runtime_checkable
class Model(Protocol):
    """Something that turns numbers into numbers, batch by batch.

    Anything with these two members will do. ``infer`` runs on one of clipcore's threads and may block; while it does, further
    requests of all streams gather and make up the next batch, of at most ``max_batch`` items (16 where there is no such
    attribute). It keeps no state between calls. An exception costs the detectors concerned their answers, and the streams
    go on.
    """

    name: str
    """What detectors ask for: ``out.request(name, input)``."""

    def infer(self, batch: Sequence[Any]) -> Sequence[Tensors]:
        """Answers one output for each item of the batch, in order; items are what was asked with, as :data:`Tensors`."""
        ...
