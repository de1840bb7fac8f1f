from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, final

import numpy
import numpy.typing

from clipcore._errors import Error
from clipcore._settings import Settings

__all__ = [
    "__version__",
    "Audio16k",
    "AudioModel",
    "AudioWindow",
    "Event",
    "Feed",
    "Output",
    "Run",
    "VideoFrame",
    "check_detector",
    "close",
    "command",
    "detect",
    "detect_sound",
    "log_odds",
    "main",
    "read_labels",
    "replay",
    "settings",
    "simulate",
]

__version__: str

_T = TypeVar("_T")

@final
class Event(Generic[_T]):
    """Something observed on a stream: where, when and what."""
    @property
    def id(self) -> str:
        """Unique together with ``source``."""
    @property
    def source(self) -> str:
        """Who observed it."""
    @property
    def stream(self) -> str: ...
    @property
    def camera(self) -> str | None: ...
    @property
    def at(self) -> float:
        """When, in seconds on the stream's timeline; where a window of sound starts."""
    @property
    def time(self) -> str | None:
        """When, in civil time (RFC 3339), where the producer said so."""
    @property
    def kind(self) -> str:
        """The CloudEvents ``type``."""
    @property
    def data(self) -> _T:
        """What: a payload of [`clipcore.events`][], sound or a picture."""

@final
class Audio16k:
    """A window of sound as taggers take it: mono at 16 kHz."""

    KIND: ClassVar[str]
    @property
    def samples(self) -> numpy.typing.NDArray[numpy.float32]:
        """``[samples]``, nominally −1…1: a read-only view of clipcore's own memory, which lives for as long as the view does."""
    @property
    def _address(self) -> int: ...
    @property
    def rate(self) -> int:
        """Samples per second: 16000."""
    @property
    def channels(self) -> int: ...
    @property
    def start(self) -> float:
        """The instant of the first sample."""
    @property
    def end(self) -> float:
        """The instant just after the last sample."""
    def __len__(self) -> int: ...

@final
class AudioWindow:
    """A block of sound as the camera has it."""

    KIND: ClassVar[str]
    @property
    def samples(self) -> numpy.typing.NDArray[numpy.float32]:
        """``[samples × channels]``, interleaved, nominally −1…1: a read-only view of clipcore's own memory."""
    @property
    def _address(self) -> int: ...
    @property
    def rate(self) -> int:
        """Samples per second and channel."""
    @property
    def channels(self) -> int: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    def __len__(self) -> int: ...

@final
class VideoFrame:
    """A decoded picture."""

    KIND: ClassVar[str]
    @property
    def pixels(self) -> numpy.typing.NDArray[numpy.uint8]:
        """``[height, width, 3]``, RGB: a read-only view of clipcore's own memory, which lives for as long as the view does."""
    @property
    def _address(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...

@final
class Output:
    """Where a detector puts what it found, during one call."""
    def signal(self, label: str, score: float, *, at: float | None = None, onset: float | None = None) -> None:
        """Emits a signal.

        Args:
            label: One of the detector's labels.
            score: How strong, in the detector's own unit; one that is not finite is dropped and counted.
            at: When, in seconds; the event's instant (the end of a window, the time advanced to) where absent.
            onset: When it began; ``at`` where absent.

        Raises:
            ValueError: The label is not declared, or ``at`` lies in the future.
        """
    def request(self, model: str, input: Any, *, tag: int = 0, at: float | None = None) -> None:
        """Asks a model; the answer comes to ``resolve`` with the same ``tag`` and ``at``.

        Args:
            model: Its name.
            input: An array, or several by name; taken as float32 and copied.
            tag: Your own mark.
            at: The instant asked about.
        """

_Failures = list[tuple[str, str, float, BaseException]]

def replay(
    settings: Settings,
    paths: Sequence[str],
    text: bytes | None,
    stream: str,
    detectors: Sequence[object],
    models: Sequence[object],
    threads: int,
    progress: Callable[[int, int, str], None] | None,
) -> tuple[list[str], list[str], list[tuple[str, Error | None]], _Failures]: ...
def command(settings: Settings, args: Sequence[str]) -> tuple[str, str]: ...
def close() -> None: ...
def main(args: Sequence[str]) -> int: ...
def simulate(scenario: str) -> tuple[list[str], str]: ...
def read_labels(csv: bytes) -> str: ...
def settings(settings: Settings) -> str: ...
def check_detector(
    spec: object, models: Sequence[object], events: Sequence[object] | None, seed: int
) -> _Failures: ...
def detect(
    settings: Settings,
    input: str,
    detectors: Sequence[object],
    models: Sequence[object],
    progress: Callable[[int, int, str], None] | None,
) -> tuple[list[str], list[str], _Failures]: ...

@final
class Feed:
    def push(self, line: str) -> bool: ...
    def end(self, raised: BaseException | None) -> None: ...

@final
class Run:
    def __new__(
        cls,
        settings: Settings,
        inputs: Sequence[str],
        chat: str | None,
        events: Callable[[Feed], None] | None,
        detectors: Sequence[object],
        models: Sequence[object],
        sinks: Sequence[tuple[str, Callable[[str, str], None]]],
        signals: bool,
    ) -> Run: ...
    def read(self, patience: float) -> tuple[str, Any] | None: ...
    def set_waker(self, waker: Callable[[], object] | None) -> None: ...
    def stop(self, now: bool) -> None: ...
    def abandon(self) -> None: ...
    def join(self, patience: float) -> bool: ...
    def summary(self) -> tuple[str, list[Error], list[Error]]: ...
    def stats(self) -> str: ...

def detect_sound(
    settings: Settings,
    samples: numpy.typing.NDArray[numpy.float32],
    rate: int,
    channels: int,
    detectors: Sequence[object],
    models: Sequence[object],
    progress: Callable[[int, int, str], None] | None,
) -> tuple[list[str], list[str], _Failures]: ...
def log_odds(settings: Settings, signals: Sequence[str]) -> tuple[list[float], list[float], float]: ...

@final
class AudioModel:
    def __new__(cls, settings: Settings, name: str) -> AudioModel: ...
    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def patch(self) -> int: ...
    @property
    def runs_on(self) -> str: ...
    def scores(
        self, samples: numpy.typing.NDArray[numpy.float32], hop: int
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float32]]: ...
