"""The payloads of events, as detectors get them in ``event.data``.

A payload of your own is a frozen dataclass that names its kind and derives from [`Payload`][clipcore.events.Payload]:

    @dataclass(frozen=True)
    class HeartRate(Payload):
        KIND = "com.example.heart_rate"
        bpm: int
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from clipcore._clipcore import Audio16k, AudioWindow, VideoFrame

__all__ = [
    "Audio16k",
    "AudioLevel",
    "AudioWindow",
    "ChatDelete",
    "ChatMessage",
    "ChatSpike",
    "FaceExpression",
    "GameEvent",
    "Marker",
    "Payload",
    "PlatformEvent",
    "Transcript",
    "VideoFrame",
]

_KNOWN: dict[str, type[Payload]] = {}


class Payload:
    """What happened. Subclasses are dataclasses with a ``KIND``, the CloudEvents ``type``."""

    KIND: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.KIND:
            _KNOWN[cls.KIND] = cls

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Payload:
        """The payload of the event's ``data`` member; members without a field are ignored."""
        names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in data.items() if key in names})


@dataclass(frozen=True)
class Unknown(Payload):
    """The payload of a kind that no class stands for, kept whole."""

    kind: str
    data: Any


def _payload(kind: str, text: str) -> Payload:
    """What the compiled part calls for ``event.data``."""
    data = json.loads(text)
    known = _KNOWN.get(kind)
    return Unknown(kind, data) if known is None else known.from_data(data)


@dataclass(frozen=True)
class ChatMessage(Payload):
    """Somebody wrote in chat."""

    KIND = "chat.message"
    user: str
    """A pseudonym or platform id; equal for messages of the same person."""
    text: str | None = None
    """The words; absent where the stream's consent does not cover chat text."""
    emotes: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChatDelete(Payload):
    """A moderator or the author took messages back."""

    KIND = "chat.delete"
    user: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class ChatSpike(Payload):
    """A relay that counts for itself reports a burst."""

    KIND = "chat.spike"
    rate: float
    """Messages per second now."""
    baseline: float | None = None
    """Messages per second usually."""


@dataclass(frozen=True)
class AudioLevel(Payload):
    """Loudness measured elsewhere; at least one of the three levels is given."""

    KIND = "audio.level"
    rms: float | None = None
    """Root mean square, 0–1."""
    lufs: float | None = None
    """Momentary loudness in LUFS (EBU R128)."""
    peak: float | None = None
    """Peak, 0–1."""
    window_ms: float | None = None


@dataclass(frozen=True)
class FaceExpression(Payload):
    """Expression scores computed elsewhere."""

    KIND = "face.expression"
    scores: Mapping[str, float] = field(default_factory=dict)
    person: str | None = None


@dataclass(frozen=True)
class Marker(Payload):
    """A person pressed "clip that"."""

    KIND = "marker"
    label: str | None = None
    by: str | None = None


@dataclass(frozen=True)
class GameEvent(Payload):
    """The game's own telemetry."""

    KIND = "game.event"
    kind: str
    """``kill``, ``streak``, ``goal``, …"""
    count: int | None = None
    weight: float | None = None
    """How much it matters; 1 where absent."""


@dataclass(frozen=True)
class PlatformEvent(Payload):
    """The platform did something that changes how chat behaves."""

    KIND = "platform.event"
    kind: str
    """``raid``, ``gift_sub``, ``hype_train``, ``ad_start``, ``ad_end``, …"""
    count: int | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Transcript(Payload):
    """Speech as text."""

    KIND = "transcript"
    text: str
    start: float
    end: float
