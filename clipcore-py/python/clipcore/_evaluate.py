"""How good moments are, and weights that make them better."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from clipcore import _clipcore
from clipcore._records import Label, Moment
from clipcore._replay import PathLike, Replay
from clipcore._settings import Config, Consent, settings
from clipcore._tables import Labels, Moments

Truth = Union[PathLike, Iterable[Label]]
"""A CSV file with the header ``stream,start,end[,kind]``, or labels."""


@dataclass(frozen=True)
class Estimate:
    """A measured figure with its 95 % bootstrap interval over streams; ``None`` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None

    def __repr__(self) -> str:
        if self.value is None:
            return "–"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.value:.3g}{interval}"


@dataclass(frozen=True)
class StreamReport:
    """What one stream contributed."""

    stream: str
    hours: float
    labels: int
    detections: int
    hits: int
    f1: float | None


@dataclass(frozen=True, repr=False)
class Report:
    """The result of an evaluation. Shares are 0–1, delays and lengths in seconds.

    A moment is a hit where its peak lies in ``[label start, label end + tolerance]``, each label once.
    """

    hours: float
    labels: int
    detections: int
    hits: int
    ignored: int
    """Labels and detections left out because their stream was not among those evaluated."""
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_alarms_per_hour: Estimate
    peak_delay_p50: Estimate
    """Median delay from the label's start to the detection's peak, over hits."""
    peak_delay_p90: Estimate
    told_delay_p50: Estimate
    """Median delay to the first telling, provisional included."""
    decided_delay_p50: Estimate
    """Median delay to the confirmation."""
    decided_delay_p90: Estimate
    good_start: Estimate
    """Share of hits whose clip starts at most 10 s before the label and not after its end."""
    whole_label: Estimate
    """Share of hits whose clip holds the whole label."""
    label_inside: Estimate
    """Mean share of the label that lies inside the clip, over hits."""
    clip_secs_p50: Estimate
    precision_at_10: Estimate
    map_tiou_30: Estimate
    map_tiou_50: Estimate
    streams: tuple[StreamReport, ...]
    config: Mapping[str, Any]
    """The rules it was made by."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report of what ``clipcore eval --json`` prints."""
        members = dict(data)
        for field in dataclasses.fields(cls):
            if isinstance(members.get(field.name), Mapping) and field.name != "config":
                members[field.name] = Estimate(**members[field.name])
        members["streams"] = tuple(StreamReport(**stream) for stream in data["streams"])
        return cls(**members)

    def to_dict(self) -> dict[str, Any]:
        """What ``clipcore eval --json`` prints."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def figures(self) -> dict[str, Estimate]:
        """The figures by name."""
        return {f.name: value for f in dataclasses.fields(self) if isinstance(value := getattr(self, f.name), Estimate)}

    def __repr__(self) -> str:
        return (
            f"Report(F1 {self.f1!r}, precision {self.precision!r}, recall {self.recall!r}, "
            f"{self.false_alarms_per_hour!r} false alarms/h; {self.hits} hits of {self.detections} detections and "
            f"{self.labels} labels on {len(self.streams)} streams, {self.hours:.2f} h)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{figure!r}</td></tr>" for name, figure in self.figures().items())
        return f"<p>{self.hits} hits of {self.detections} detections and {self.labels} labels</p><table>{rows}</table>"


def read_labels(truth: PathLike | bytes) -> Labels:
    """Reads labels from CSV with the header ``stream,start,end[,kind]``, times in seconds.

    Raises:
        InvalidInput: A line is wrong; the error names it. A truth that is partly wrong measures nothing.
    """
    csv = truth if isinstance(truth, bytes) else Path(truth).read_bytes()
    return Labels(Label.from_dict(label) for label in json.loads(_clipcore.read_labels(csv)))


@contextmanager
def _files(truth: Truth, moments: Iterable[Moment] | None) -> Iterator[tuple[str, str | None]]:
    """What is in memory, as the files that the commands read."""
    with tempfile.TemporaryDirectory(prefix="clipcore-") as folder:
        if isinstance(truth, (str, os.PathLike)):
            labels = os.fspath(truth)
        else:
            labels = os.path.join(folder, "labels.csv")
            Path(labels).write_text(Labels(truth).to_csv(), encoding="utf-8")
        found = None
        if moments is not None:
            found = os.path.join(folder, "moments.jsonl")
            Path(found).write_text(Moments(moments).to_jsonl(), encoding="utf-8")
        yield labels, found


def _each(paths: PathLike | Iterable[PathLike]) -> list[str]:
    return [os.fspath(paths)] if isinstance(paths, (str, os.PathLike)) else [os.fspath(path) for path in paths]


def evaluate(
    moments: Replay | Iterable[Moment] | PathLike,
    truth: Truth,
    *,
    events: PathLike | Iterable[PathLike] = (),
    durations: Mapping[str, float] | None = None,
    tolerance: float = 35.0,
    seed: int = 1,
) -> Report:
    """Scores moments against labels; the numbers are those of ``clipcore eval``.

    Args:
        moments: A replay, moments (transitions do no harm), or a file of them.
        truth: A CSV file or labels.
        events: The recordings behind the moments: they say how long each stream is. A replay knows its own.
        durations: How long streams are in seconds, where no events say.
        tolerance: How many seconds after the end of a label a peak still hits it.
        seed: Seed of the bootstrap.

    Raises:
        InvalidInput: There is no stream to score.
    """
    recorded = _each(events)
    found: Iterable[Moment] | None
    if isinstance(moments, Replay):
        found = moments.transitions
        recorded = recorded or [os.fspath(path) for path in moments.paths if path.is_file()]
    else:
        found = None if isinstance(moments, (str, os.PathLike)) else moments
    with _files(truth, found) as (labels, written):
        path = written if written is not None else os.fspath(moments)  # type: ignore[arg-type]
        args = ["eval", "--json", f"--truth={labels}", f"--tolerance={tolerance}", f"--seed={seed}", path]
        for stream, seconds in (durations or {}).items():
            args += [f"--duration={stream}={seconds}"]
        if recorded:
            args += ["--events", *recorded]
        out, _ = _clipcore.command(settings(None), args)
    return Report.from_dict(json.loads(out)["moments"])


@dataclass(frozen=True, repr=False)
class Weights:
    """What fusion knows from data; pass the file that `save` writes as ``weights=``."""

    name: str
    toml: str
    fitted_to: tuple[str, ...]
    """The streams that they were fitted to: scores on these are no results."""

    def save(self, path: PathLike) -> Path:
        """Writes a weights file, for ``weights=``, ``--weights`` and ``fusion.weights``."""
        Path(path).write_text(self.toml, encoding="utf-8")
        return Path(path)

    def __repr__(self) -> str:
        return f"Weights({self.name!r}, fitted to {len(self.fitted_to)} streams)"


@dataclass(frozen=True, repr=False)
class Tuning:
    """What a fit gave."""

    weights: Weights
    rows: Mapping[str, Report]
    """Figures on streams that the weights were not fitted to (cross-validation), beside the weights in use and the baselines."""
    refused: tuple[str, ...]
    """Figures that are not told since they would be no results, and why."""
    remarks: tuple[str, ...]

    def __repr__(self) -> str:
        rows = "".join(f"\n  {name}: F1 {report.f1!r}, {report.false_alarms_per_hour!r} false alarms/h" for name, report in self.rows.items())
        return f"Tuning({self.weights!r}{rows})"


def tune(
    events: PathLike | Iterable[PathLike],
    truth: Truth,
    *,
    weights: PathLike | None = None,
    name: str | None = None,
    folds: int = 5,
    seed: int = 2026,
    max_false_alarms: float | None = None,
    median_clip: float | None = None,
    longest_clip: float | None = None,
    consent: Consent = None,
    config: Config = None,
) -> Tuning:
    """Fits weights and thresholds to labelled recordings, as ``clipcore tune`` does.

    To let a detector of your own count, write its signals to a file beside the events (``Signals.to_jsonl``) and name both.

    Args:
        events: Recordings: events, log records or signals as JSON lines.
        truth: A CSV file or labels; streams without any are left out.
        weights: Begin with these instead of those in use.
        name: Names the fitted weights.
        folds: How many groups of streams are cross-validated.
        seed: Seed of the groups and of the bootstrap.
        max_false_alarms: False alarms an hour that are tolerated; 7.5 where absent.
        median_clip: How long the median clip may be, in seconds; 44.5 where absent.
        longest_clip: How long all but a tenth of the clips may be, in seconds; 90 where absent.
        consent: What the people concerned agreed to.
        config: Settings, as a TOML file or a mapping.
    """
    with tempfile.TemporaryDirectory(prefix="clipcore-") as folder, _files(truth, None) as (labels, _):
        fitted = os.path.join(folder, "weights.toml")
        args = ["tune", "--json", f"--truth={labels}", f"--folds={folds}", f"--seed={seed}", f"--output={fitted}"]
        options: Sequence[tuple[str, object]] = (
            ("weights", None if weights is None else os.fspath(weights)),
            ("name", name),
            ("max-false-alarms", max_false_alarms),
            ("median-clip", median_clip),
            ("longest-clip", longest_clip),
            ("consent", consent if consent is None or isinstance(consent, str) else ",".join(consent)),
        )
        args += [f"--{option}={value}" for option, value in options if value is not None]
        out, remarks = _clipcore.command(settings(config), [*args, *_each(events)])
        told = json.loads(out)
        made = Weights(told["weights"]["version"], Path(fitted).read_text(encoding="utf-8"), tuple(told["weights"].get("fitted_to", ())))
    rows = {row: Report.from_dict(report) for row, report in told["rows"].items()}
    said = tuple(line for line in remarks.splitlines() if fitted not in line)
    return Tuning(made, rows, tuple(told["refused"]), said)
