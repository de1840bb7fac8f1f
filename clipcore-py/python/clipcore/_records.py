"""What clipcore tells: signals, moments, clips, labels. Frozen; instants are seconds on the stream's timeline."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing_extensions import Self


MomentState = Literal["provisional", "open", "closed", "dropped"]
ClipState = Literal["pending", "ready", "failed"]


class Record:
    """What all records share."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The record of a JSON object of the wire format; unknown members are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in data.items() if key in known})

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """The record of a line of the wire format."""
        return cls.from_dict(json.loads(line))

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the wire format: members that are absent are left out."""
        return {
            field.name: _plain(value)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if field.metadata.get("wire", True)
            and (value := getattr(self, field.name)) is not None
            and value != field.metadata.get("absent")
        }

    def to_json(self) -> str:
        """A line of the wire format."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, Path) else value


@dataclass(frozen=True, slots=True)
class Signal(Record):
    """A detector's finding: at ``at`` there was evidence of ``label`` with strength ``score``."""

    id: str
    """Hash of stream, camera, detector, label and ``at``."""
    stream: str
    detector: str
    version: int
    label: str
    at: float
    onset: float
    """When it began, as far as the detector can tell; never after ``at``."""
    score: float
    """In the detector's own unit (a z-score, a probability), four decimals."""
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence(Record):
    """One signal's share in a moment."""

    detector: str
    label: str
    at: float
    score: float
    """The detector's score."""
    contribution: float
    """Its share of the moment's score; the shares add up to it."""
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Moment(Record):
    """One transition of a moment; the newest ``rev`` of an ``id`` is what the moment is now."""

    id: str
    rev: int
    """Counts transitions from 1."""
    stream: str
    state: MomentState
    start: float
    """Where its clip should begin, pre-roll and chat-delay correction included."""
    peak: float
    """The instant of maximum fused score, not shifted."""
    end: float
    """Where its clip should end, post-roll included."""
    decided_at: float
    """The watermark at which this transition happened."""
    score: float
    """Fused score at the peak, in logits."""
    label: str
    """What kind of moment, from the strongest evidence."""
    evidence: tuple[Evidence, ...] = ()
    """What made it, strongest first."""
    start_time: str | None = None
    """``start`` in civil time (RFC 3339), where known; likewise the two below."""
    peak_time: str | None = None
    end_time: str | None = None
    trace: str | None = None
    """W3C ``traceparent`` of the event that opened it, where there was one."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        evidence = tuple(Evidence.from_dict(e) for e in data.get("evidence", ()))
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{**{k: v for k, v in data.items() if k in known}, "evidence": evidence})

    @property
    def duration(self) -> float:
        """Length of the clip that was asked for, in seconds."""
        return self.end - self.start

    @property
    def is_final(self) -> bool:
        """Whether this transition is the last one."""
        return self.state in ("closed", "dropped")

    def __repr__(self) -> str:
        why = ", ".join(f"{e.detector}/{e.label} {e.contribution:+.2f}" for e in self.evidence[:3])
        more = f", … {len(self.evidence) - 3} more" if len(self.evidence) > 3 else ""
        return (
            f"Moment({self.label!r} on {self.stream!r}, {self.start:.1f}–{self.end:.1f} s, peak {self.peak:.1f} s, "
            f"score {self.score:.2f}, {self.state}; {why}{more})"
        )

    def _repr_html_(self) -> str:
        from clipcore import _html

        return _html.moment(self)


@dataclass(frozen=True, slots=True)
class Span(Record):
    """A stretch of a stream's timeline; ``end`` is not part of it."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Clip(Record):
    """One transition of a clip; the newest of an ``id`` is what the clip is now."""

    id: str
    moment: str
    """The id of the moment it shows."""
    rev: int
    """The moment's ``rev`` that its bounds come from."""
    stream: str
    camera: str
    state: ClipState
    asked: Span
    """The bounds that were asked for."""
    exact: bool
    """Whether the file starts and ends on the frames asked for."""
    reasons: tuple[str, ...] = ()
    """Why the achieved bounds differ from those asked for, or why there is no file."""
    achieved: Span | None = None
    """The bounds that the file has."""
    path: str | None = None
    """The file, relative to the output folder; see `file`."""
    url: str | None = None
    thumbnail: str | None = None
    """A picture at the peak, relative to the output folder."""
    preview: str | None = None
    """A small, silent version, relative to the output folder."""
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    bytes: int | None = None
    sha256: str | None = None
    edit: int = dataclasses.field(default=0, metadata={"absent": 0})
    """How often its bounds were changed by hand since it was first cut."""
    folder: Path | None = dataclasses.field(default=None, compare=False, metadata={"wire": False})
    """The output folder."""
    _keep: object = dataclasses.field(default=None, compare=False, repr=False, metadata={"wire": False})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        known = {field.name for field in dataclasses.fields(cls)}
        members: dict[str, Any] = {k: v for k, v in data.items() if k in known}
        members["asked"] = Span.from_dict(data["asked"])
        members["reasons"] = tuple(data.get("reasons", ()))
        if data.get("achieved") is not None:
            members["achieved"] = Span.from_dict(data["achieved"])
        return cls(**members)

    def _at(self, name: str | None) -> Path | None:
        return None if name is None else (self.folder or Path()) / name

    @property
    def file(self) -> Path | None:
        """The finished file."""
        return self._at(self.path)

    @property
    def thumbnail_file(self) -> Path | None:
        """The picture at the peak."""
        return self._at(self.thumbnail)

    def __repr__(self) -> str:
        span = self.achieved or self.asked
        told = f"{self.path}" if self.path else "; ".join(self.reasons) or "no file yet"
        exact = ", exact" if self.exact else ""
        return f"Clip({self.state} on {self.stream!r}, {span.start:.2f}–{span.end:.2f} s{exact}: {told})"

    def _repr_html_(self) -> str:
        from clipcore import _html

        return _html.clip(self)


@dataclass(frozen=True, slots=True)
class Label(Record):
    """A true highlight, as a person marked it."""

    stream: str
    start: float
    end: float
    """Its last instant; never before ``start``."""
    kind: str | None = None
