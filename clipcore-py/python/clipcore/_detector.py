"""Detectors in Python."""

from __future__ import annotations

import copy
import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, Union

from clipcore._clipcore import Audio16k, AudioWindow, Event, Output, VideoFrame
from clipcore._errors import ConfigError
from clipcore.events import Payload

E = TypeVar("E")

Input = Union["type[Payload]", "type[Audio16k]", "type[AudioWindow]", "type[VideoFrame]", str]
"""What a detector asks for: a payload type, or the name of a kind."""

Found = Union[None, float, Mapping[str, float], "tuple[str, float]"]
"""What a function may return: a score for its only label, scores by label, one label with its score, or nothing."""


class Detector(Generic[E]):
    """Finds evidence in what happens on one stream (or on one camera of it).

    Subclass it, set the attributes below and write `detect`. clipcore makes one object for each stream, by calling
    the class (or whatever factory was passed) without arguments.

    Contract:
        - Events come with ``at`` never decreasing; before each, time is advanced to its ``at``.
        - The signals depend only on the events and on the last time advanced to. No clock, no randomness without a seed.
        - A signal's ``at`` is at most the time advanced to.
        - Absence of input is no evidence.

    [`check_detector`][clipcore.conformance.check_detector] checks this. An exception switches the detector off: its stream goes on without
    it, and the exception, with its traceback, is told as a [`DetectorWarning`][clipcore.DetectorWarning] and in the result's
    ``failures``.
    """

    name: ClassVar[str] = ""
    """Unique in a pipeline."""
    version: ClassVar[int] = 1
    """Raise it when the meaning of the scores changes."""
    labels: ClassVar[tuple[str, ...]] = ()
    """The labels its signals may carry; ``"*"`` allows all."""
    inputs: ClassVar[tuple[Input, ...]] = ()
    """What it is shown: payload types such as [`ChatMessage`][clipcore.events.ChatMessage] or [`Audio16k`][clipcore.Audio16k]."""
    window: ClassVar[float | None] = None
    """With ``inputs = (Audio16k,)``: seconds of sound in each event; blocks as they come where ``None``."""
    hop: ClassVar[float | None] = None
    """Seconds from one window to the next, which end on multiples of it; as long as ``window`` where ``None``."""
    max_lateness: ClassVar[float] = 0.0
    """How many seconds before the time it has been advanced to a signal's ``at`` may lie."""
    needs: ClassVar[str] = ""
    """What the stream's consent must cover: ``"chat_text"``, ``"face"``, or both with a comma."""
    state: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that change while it runs, for `snapshot`; their values must have a JSON form."""

    def detect(self, event: Event[E], out: Output) -> None:
        """Takes one event in; findings go to ``out.signal(label, score)``."""
        raise NotImplementedError

    def advance(self, to: float, out: Output) -> None:
        """Stream time has reached ``to`` seconds: every event before it has been seen. Override it to let silence tick."""

    def resolve(self, tag: int, at: float, answer: Any, out: Output) -> None:
        """A model has answered ``out.request(model, input, tag=…)``.

        ``answer`` is a float32 array where the model has one unnamed output, else a dictionary of them.
        """

    def snapshot(self) -> Any:
        """The whole state, as what `json.dumps` takes."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.state}

    def restore(self, state: Any) -> None:
        """Takes up a state that `snapshot` gave.

        Raises:
            ValueError: The value is not such a state; the detector is then unchanged.
        """
        if not isinstance(state, dict) or set(state) != set(self.state):
            raise ValueError(f"this is no state of {type(self).__name__}: it has {list(self.state)}")
        for name, value in state.items():
            setattr(self, name, value)


Factory = Union["type[Detector[Any]]", Callable[[], "Detector[Any]"]]
"""A detector class, or anything that makes a detector when called without arguments."""


@dataclass(frozen=True)
class Spec:
    """What the compiled part needs to know of a detector."""

    name: str
    version: int
    labels: list[str]
    max_lateness: float
    needs: str
    kinds: list[str]
    window: float | None
    hop: float | None
    ticks: bool
    make: Callable[[], Detector[Any]]


def spec(factory: Factory) -> Spec:
    """Reads what a factory makes."""
    if isinstance(factory, Detector):
        raise TypeError(
            f"pass the class {type(factory).__name__} or a function that makes one, not an object: each stream needs its own"
        )
    sample: Any = factory if isinstance(factory, type) else factory()
    cls = sample if isinstance(sample, type) else type(sample)
    if not issubclass(cls, Detector):
        raise TypeError(f"a detector derives from clipcore.Detector, and {cls.__name__} does not")
    kinds = [_kind(i) for i in sample.inputs]
    if not sample.name or not sample.labels or not kinds:
        raise ConfigError(f"{cls.__name__} needs a name, labels and inputs")
    if isinstance(sample.labels, str):
        raise ConfigError(f"labels of {cls.__name__} is one text", hint="write labels = (\"…\",)")
    if sample.window is not None and kinds != [Audio16k.KIND]:
        raise ConfigError(f"{cls.__name__} has a window", hint="windows are of sound: inputs = (Audio16k,)")
    media = [kind.startswith("media.") for kind in kinds]
    if any(media) and not all(media):
        raise ConfigError(f"{cls.__name__} asks for events and for sound or pictures", hint="write two detectors")
    return Spec(
        name=sample.name,
        version=sample.version,
        labels=list(sample.labels),
        max_lateness=float(sample.max_lateness),
        needs=sample.needs,
        kinds=kinds,
        window=sample.window,
        hop=sample.hop,
        ticks=cls.advance is not Detector.advance,
        make=factory,
    )


def specs(factories: Iterable[Factory | str]) -> list[Spec]:
    """Reads what a call's ``detectors`` names; a text is the name of an installed one."""
    from clipcore import plugins

    return [spec(plugins.load("detectors", f) if isinstance(f, str) else f) for f in factories]


def _kind(wanted: Input) -> str:
    return wanted if isinstance(wanted, str) else wanted.KIND


class _FromFunction(Detector[Any]):
    _function: ClassVar[Callable[[Event[Any]], Found]]

    def detect(self, event: Event[Any], out: Output) -> None:
        found = type(self)._function(event)
        if found is None:
            return
        if isinstance(found, Mapping):
            scores = found
        elif isinstance(found, tuple):
            scores = {found[0]: found[1]}
        elif len(self.labels) == 1:
            scores = {self.labels[0]: found}
        else:
            raise TypeError(f"{self.name} has several labels: return a mapping of labels to scores")
        for label, score in scores.items():
            out.signal(label, float(score))


def detector(
    name: str,
    *,
    labels: Iterable[str] | None = None,
    input: Input | None = None,
    window: float | None = None,
    hop: float | None = None,
    version: int = 1,
    needs: str = "",
) -> Callable[[Callable[[Event[Any]], Found]], type[Detector[Any]]]:
    """Makes a detector of a function that takes an event and returns what it found in it.

    Args:
        name: Unique in a pipeline.
        labels: The labels it may find; the name where absent.
        input: What it is shown; from the annotation of its argument (``Event[Audio16k]``) where absent.
        window: Seconds of sound in each event, for ``Audio16k``.
        hop: Seconds from one window to the next.
        version: Raise it when the meaning of the scores changes.
        needs: What the stream's consent must cover.

    The function keeps no state. Returning ``None`` finds nothing.

    Raises:
        ConfigError: There is no annotation to tell the input from.
    """
    shown = tuple(labels) if labels is not None else (name,)

    def make(function: Callable[[Event[Any]], Found]) -> type[Detector[Any]]:
        wanted = input if input is not None else _annotated(function)
        members = {
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "name": name,
            "labels": shown,
            "inputs": (wanted,),
            "window": window,
            "hop": hop,
            "version": version,
            "needs": needs,
            "_function": staticmethod(function),
        }
        made = type(function.__name__, (_FromFunction,), members)
        functools.update_wrapper(made, function, assigned=("__qualname__",), updated=())
        return made

    return make


def _annotated(function: Callable[..., Any]) -> Input:
    try:
        hints = typing.get_type_hints(function)
    except NameError:
        # Names of a function's own scope cannot be looked up.
        hints = {}
    first = next(iter(inspect.signature(function).parameters), "")
    inner = typing.get_args(hints.get(first))
    if len(inner) == 1 and isinstance(getattr(inner[0], "KIND", None), str):
        return inner[0]  # type: ignore[no-any-return]
    raise ConfigError(
        f"what {function.__name__} is to be shown is not known",
        hint="annotate its argument, for example event: Event[Audio16k], or pass input=",
    )
