"""Models in Python: what detectors ask, batched across streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Union, runtime_checkable

import numpy
import numpy.typing

from clipcore import _clipcore
from clipcore._settings import Config, settings

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
        """Answers one output for each item of the batch, in order; items are what was asked with, as [`Tensors`][clipcore._model.Tensors]."""
        ...


class AudioModel:
    """A sound model with its front end: from samples to the model's own numbers, without Python in between.

    The built-in tagger, one of the models that ``clipcore models list`` shows, or an ONNX file with its card beside it. It runs on ONNX Runtime
    where that is found, else in pure Rust. May be used from several threads at once; the interpreter's lock is given up meanwhile.

    Args:
        name: A name, or the path of an ONNX file.
        config: Settings, as a TOML file or a mapping; ``models.dir`` is the folder of models.

    Raises:
        NotFound: There is no such model; the error says how it is had.
    """

    def __init__(self, name: str = "tagger", *, config: Config = None) -> None:
        self._core = _clipcore.AudioModel(settings(config), name)

    @property
    def name(self) -> str:
        """The name of its card."""
        return self._core.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What its numbers are about, in their order."""
        return tuple(self._core.labels)

    @property
    def patch(self) -> int:
        """How many samples at 16 kHz one row of numbers is about."""
        return self._core.patch

    @property
    def runs_on(self) -> str:
        """The backend that runs it."""
        return self._core.runs_on

    def scores(self, samples: Array, *, hop: float = 0.5) -> tuple[numpy.typing.NDArray[numpy.float64], Array]:
        """The model's numbers for each patch of sound.

        Args:
            samples: Mono at 16 kHz, float32 ``[samples]``, contiguous.
            hop: Seconds from one patch to the next.

        Returns:
            Where each patch ends in seconds, ``[patches]``, and the numbers, ``[patches, labels]``.
        """
        return self._core.scores(numpy.ascontiguousarray(samples, dtype=numpy.float32), round(hop * 16_000))

    def __repr__(self) -> str:
        return f"AudioModel({self.name!r}: {len(self.labels)} labels of {self.patch / 16_000:.3f} s, on {self.runs_on})"
