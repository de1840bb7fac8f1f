"""Sequences of records that become tables."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from clipcore._records import Clip, Label, Moment, Record, Signal

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from typing_extensions import Self

R = TypeVar("R", bound=Record)


class Table(Sequence[R], Generic[R]):
    """A sequence of records. ``to_pandas()`` and Arrow (``pyarrow.table(t)``, ``polars.DataFrame(t)``) make tables of it."""

    _type: type[R]
    _columns: dict[str, str] = {}
    _shown: tuple[str, ...] = ()
    """The columns that notebooks show, as far as any row has something there."""

    def __init__(self, records: Iterable[R] = ()) -> None:
        self._records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> R | Self:
        if isinstance(index, slice):
            return type(self)(self._records[index])
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and type(other) is type(self) and other._records == self._records

    def __hash__(self) -> int:
        return hash(self._records)

    def __repr__(self) -> str:
        shown = "".join(f"\n  {record!r}," for record in self._records[:5])
        more = f"\n  … {len(self) - 5} more" if len(self) > 5 else ""
        return f"{type(self).__name__}({len(self)}:{shown}{more})" if self._records else f"{type(self).__name__}(0)"

    def where(self, keep: Callable[[R], bool]) -> Self:
        """Those that ``keep`` says yes to."""
        return type(self)(record for record in self._records if keep(record))

    def to_dicts(self) -> list[dict[str, Any]]:
        """JSON objects of the wire format."""
        return [record.to_dict() for record in self._records]

    def to_jsonl(self) -> str:
        """Lines of the wire format."""
        return "".join(record.to_json() + "\n" for record in self._records)

    def _rows(self) -> list[dict[str, Any]]:
        return [{name: row.get(name) for name in self._columns} for row in self.to_dicts()]

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame, one row a record; needs pandas (the extra ``pandas``)."""
        import pandas

        frame: pandas.DataFrame = pandas.DataFrame(self._rows(), columns=list(self._columns))
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table; needs pyarrow (the extra ``arrow``)."""
        import pyarrow

        from clipcore import _arrow

        return pyarrow.Table.from_pylist(self._rows(), schema=_arrow.schema(self._columns))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule interface; needs pyarrow."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        rows = [{name: _cell(row[name]) for name in self._shown} for row in self[:50]._rows()]
        names = [name for name in self._shown if any(row[name] for row in rows)]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(row[name])}</td>" for name in names) + "</tr>" for row in rows)
        more = f"<p>… {len(self) - 50} more</p>" if len(self) > 50 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return f"{value['start']:.2f}–{value['end']:.2f}"
    if isinstance(value, list):
        parts = [f"{v['detector']}/{v['label']} {v['contribution']:+.2f}" if isinstance(v, dict) else str(v) for v in value]
        return ", ".join(parts[:3]) + (" …" if len(parts) > 3 else "")
    return str(value)


_EVIDENCE = "evidence"
_SPAN = "span"


class Moments(Table[Moment]):
    """Moments, or their transitions."""

    _type = Moment
    _columns = {
        "id": "string",
        "rev": "int64",
        "stream": "string",
        "state": "string",
        "start": "double",
        "peak": "double",
        "end": "double",
        "decided_at": "double",
        "score": "double",
        "label": "string",
        "evidence": _EVIDENCE,
        "start_time": "string",
        "peak_time": "string",
        "end_time": "string",
        "trace": "string",
    }
    _shown = ("label", "stream", "state", "start", "peak", "end", "score", "evidence", "start_time")

    def latest(self) -> Moments:
        """The last transition of each moment, in the order in which they were first told."""
        newest: dict[str, Moment] = {}
        for moment in self:
            if moment.id not in newest or moment.rev > newest[moment.id].rev:
                newest[moment.id] = moment
        return Moments(newest.values())

    def closed(self) -> Moments:
        """The moments that were confirmed and are over."""
        return self.latest().where(lambda moment: moment.state == "closed")


class Signals(Table[Signal]):
    """What detectors found."""

    _type = Signal
    _columns = {
        "id": "string",
        "stream": "string",
        "detector": "string",
        "version": "int64",
        "camera": "string",
        "label": "string",
        "at": "double",
        "onset": "double",
        "score": "double",
    }
    _shown = ("stream", "camera", "detector", "label", "at", "onset", "score")


class Clips(Table[Clip]):
    """Clips, or their transitions."""

    _type = Clip
    _columns = {
        "id": "string",
        "moment": "string",
        "rev": "int64",
        "stream": "string",
        "camera": "string",
        "state": "string",
        "path": "string",
        "asked": _SPAN,
        "achieved": _SPAN,
        "exact": "bool",
        "reasons": "strings",
        "codec": "string",
        "width": "int64",
        "height": "int64",
        "fps": "double",
        "bytes": "int64",
        "sha256": "string",
        "edit": "int64",
    }
    _shown = ("stream", "camera", "state", "path", "asked", "achieved", "exact", "reasons", "codec", "width", "height", "fps")

    def ready(self) -> Clips:
        """The clips whose files are there, each in its last transition."""
        newest: dict[str, Clip] = {clip.id: clip for clip in self}
        return Clips(clip for clip in newest.values() if clip.state == "ready")


class Labels(Table[Label]):
    """True highlights."""

    _type = Label
    _columns = {"stream": "string", "start": "double", "end": "double", "kind": "string"}
    _shown = ("stream", "start", "end", "kind")

    def to_csv(self) -> str:
        """The CSV that [`read_labels`][clipcore.read_labels] reads."""
        lines = [f"{label.stream},{label.start:.3f},{label.end:.3f},{label.kind or ''}\n" for label in self]
        return "stream,start,end,kind\n" + "".join(lines)
