"""Plots with matplotlib (the extra ``plot``): why moments were found, and what the clips show."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipcore import _tools
from clipcore._errors import InvalidInput
from clipcore._evaluate import Truth, read_labels
from clipcore._fusion import log_odds
from clipcore._records import Clip, Label, Moment, Signal
from clipcore._replay import PathLike, Replay
from clipcore._run import RunReport
from clipcore._tables import Moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def timeline(
    found: Replay | RunReport | Iterable[Moment],
    *,
    signals: Iterable[Signal] | None = None,
    labels: Truth | None = None,
    stream: str | None = None,
    weights: PathLike | None = None,
    thresholds: Mapping[str, float] | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Figure:
    """Draws one stream: a lane for each detector's label, what all evidence weighs together with the threshold that opens a moment, the
    moments as bands, the labels as bars below.

    Args:
        found: A replay, the report of a run (made with ``signals=True``), or moments.
        signals: The signals to draw, where ``found`` has none.
        labels: True highlights: a CSV file or labels.
        stream: Which stream; may be left out where there is one.
        weights: The weights that weigh the evidence; those in use where absent.
        thresholds: Levels to mark, by lane: ``{"chat_burst burst": 3.2}``.
        start: Draw from this second on.
        end: Draw up to this second.

    Raises:
        InvalidInput: There are several streams and none is named, or nothing to draw.
    """
    from matplotlib import pyplot

    moments = found.moments if isinstance(found, (Replay, RunReport)) else Moments(found).latest()
    heard: Sequence[Signal] = list(signals) if signals is not None else list(getattr(found, "signals", ()))
    truth: Sequence[Label] = []
    if labels is not None:
        truth = list(read_labels(labels)) if isinstance(labels, (str, os.PathLike)) else list(labels)
    name = stream if stream is not None else _only({r.stream for r in (*moments, *heard)})
    lanes: dict[str, list[Signal]] = {}
    for signal in heard:
        if signal.stream == name:
            lanes.setdefault(f"{signal.detector} {signal.label}", []).append(signal)
    odds = log_odds([s for lane in lanes.values() for s in lane], weights=weights) if lanes else None
    rows = len(lanes) + (odds is not None) + 1
    figure, axes = pyplot.subplots(rows, 1, sharex=True, squeeze=False, figsize=(12, 0.6 + 1.1 * rows), layout="constrained")
    panels = [axis for row in axes for axis in row]
    for axis, (lane, points) in zip(panels, sorted(lanes.items())):
        axis.vlines([p.at for p in points], 0, [p.score for p in points], linewidth=0.8, color="tab:blue")
        axis.set_ylabel(lane.replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=8)
        if thresholds and lane in thresholds:
            axis.axhline(thresholds[lane], color="tab:red", linewidth=0.8, linestyle="--")
    if odds is not None:
        panels[-2].plot(odds.at, odds.value, color="tab:purple", linewidth=0.9)
        panels[-2].axhline(odds.enter, color="tab:red", linewidth=0.8, linestyle="--", label="threshold")
        panels[-2].set_ylabel("evidence\n(logits)", rotation=0, ha="right", va="center", fontsize=8)
    for axis in panels:
        for moment in moments:
            if moment.stream == name:
                axis.axvspan(moment.start, moment.end, color="tab:green", alpha=0.18, linewidth=0)
    last = panels[-1]
    for label in truth:
        if label.stream == name:
            last.broken_barh([(label.start, max(label.end - label.start, 0.5))], (0.1, 0.35), color="tab:orange")
    for moment in moments:
        if moment.stream == name:
            last.broken_barh([(moment.start, moment.end - moment.start)], (0.55, 0.35), color="tab:green")
            last.plot([moment.peak], [0.725], marker="|", color="black")
    last.set_yticks([0.725, 0.275][: 1 + bool(truth)], ["moments", "labels"][: 1 + bool(truth)], fontsize=8)
    last.set_ylim(0 if truth else 0.45, 1)
    last.set_xlabel(f"seconds of {name}")
    last.set_xlim(left=start, right=end)
    return figure


def _only(streams: set[str]) -> str:
    if len(streams) == 1:
        return streams.pop()
    known = ", ".join(sorted(streams)[:5]) or "none"
    raise InvalidInput(f"there are {len(streams)} streams to draw", hint=f"pass stream=, one of: {known}")


def clips(found: RunReport | Iterable[Clip], *, columns: int = 4) -> Figure:
    """Draws clips as thumbnails, with what they show and when.

    Raises:
        InvalidInput: There is no clip with a file.
    """
    from matplotlib import pyplot

    shown = [clip for clip in (found.clips if isinstance(found, RunReport) else found) if clip.file is not None]
    if not shown:
        raise InvalidInput("there is no clip to show", hint="clips whose state is ready have files")
    rows = -(-len(shown) // columns)
    wide = min(columns, len(shown))
    figure, axes = pyplot.subplots(rows, wide, squeeze=False, figsize=(3 * wide, 2.1 * rows), layout="constrained")
    for axis in (axis for row in axes for axis in row):
        axis.axis("off")
    for axis, clip in zip((axis for row in axes for axis in row), shown):
        span = clip.achieved or clip.asked
        axis.imshow(_picture(clip))
        axis.set_title(f"{clip.stream} {span.start:.1f}–{span.end:.1f} s", fontsize=8)
    return figure


def _picture(clip: Clip) -> Any:
    import io

    from matplotlib import image

    thumbnail = clip.thumbnail_file
    if thumbnail is not None and thumbnail.is_file() and thumbnail.suffix == ".png":
        return image.imread(thumbnail)
    _tools.prepare()
    program = os.environ.get("CLIPCORE_FFMPEG", "ffmpeg")
    source = thumbnail if thumbnail is not None and thumbnail.is_file() else clip.file
    command = [program, "-v", "error", "-i", str(source), "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return image.imread(io.BytesIO(done.stdout))
