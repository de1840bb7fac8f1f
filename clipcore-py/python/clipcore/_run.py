"""Pipelines: media and events in, moments and clips out."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from clipcore import _clipcore, _inputs, _sinks, _tools, plugins
from clipcore._detector import Factory, specs
from clipcore._errors import Conflict, Error
from clipcore._inputs import Media
from clipcore._model import Model
from clipcore._records import Clip, Moment, Record, Signal
from clipcore._replay import Failure, PathLike
from clipcore._settings import Config, Consent, settings
from clipcore._sinks import Sink
from clipcore._tables import Clips, Moments, Signals
from clipcore.progress import Progress

if TYPE_CHECKING:
    from typing_extensions import Self

Item = Union[Moment, Clip, Signal]

_RUNS: weakref.WeakSet[Run] = weakref.WeakSet()
_GRACE = 10.0


@dataclass(frozen=True, repr=False)
class RunReport:
    """How a run went, and everything it found."""

    transitions: Moments
    """Every transition of every moment."""
    clip_transitions: Clips
    signals: Signals
    """What the detectors found, where the run was asked to tell."""
    failures: tuple[Failure, ...]
    """Detectors in Python that raised."""
    notices: tuple[str, ...]
    """What a person should know: reconnects, models that are not there, bad lines."""
    errors: tuple[Error, ...]
    """What ended a stream before its input did."""
    undelivered: tuple[Error, ...]
    """What sinks refused for good."""
    stats: Mapping[str, Any]
    """What was counted."""
    interrupted: bool
    """Whether it was stopped before its input ended."""

    @property
    def moments(self) -> Moments:
        """The confirmed moments, each in its last transition."""
        return self.transitions.closed()

    @property
    def clips(self) -> Clips:
        """The clips whose files are there."""
        return self.clip_transitions.ready()

    def __repr__(self) -> str:
        trouble = "".join(
            f", {len(what)} {name}"
            for what, name in ((self.failures, "detectors failed"), (self.errors, "errors"), (self.undelivered, "undelivered"))
            if what
        )
        return f"RunReport({len(self.moments)} moments, {len(self.clips)} clips{trouble}{', interrupted' if self.interrupted else ''})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.moments._repr_html_()}"


class Run:
    """A running pipeline. Iterate over it, with ``for`` or ``async for``: it gives moments and clips as they come.

    It is a context manager, too, sync and async: leaving it ends the run in good order. What was not read holds the pipeline up, so
    read it, `wait` for its end or `close` it. Ctrl-C while reading raises ``KeyboardInterrupt`` at once.

    Made by [`run`][clipcore.run].
    """

    def __init__(
        self,
        core: _clipcore.Run,
        out: Path,
        loop: _sinks.Loop,
        keep: Sequence[object],
        progress: Progress | None,
        transitions: bool,
    ) -> None:
        self.out = out
        """The folder of clips, moments and the log."""
        self.failures: list[Failure] = []
        """Detectors in Python that have raised so far."""
        self.notices: list[str] = []
        """What a person should know, so far."""
        self._core = core
        self._loop = loop
        self._keep = keep
        self._progress = progress
        self._transitions = transitions
        self._ended = False
        self._found: list[Item] = []
        self._report: RunReport | None = None
        _RUNS.add(self)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self._check_loop("use `async for`")
        while True:
            item = self._next(3600.0)
            if item is not None:
                return item
            if self._ended:
                self._finish()
                raise StopIteration

    def _check_loop(self, hint: str) -> None:
        if self._loop.is_callers:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return
            raise Conflict("waiting here would hold up the event loop", hint=hint)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._core.set_waker(lambda: loop.call_soon_threadsafe(news.set))
        try:
            while True:
                news.clear()
                item = self._next(0.0)
                if item is not None:
                    return item
                if self._ended:
                    await self._aclose(stop=False)
                    raise StopAsyncIteration
                await news.wait()
        finally:
            self._core.set_waker(None)

    def _next(self, patience: float) -> Item | None:
        """The next item that the reader wants; `None` where there is none yet or ever."""
        while not self._ended:
            read = self._core.read(patience)
            if read is None:
                return None
            item = self._take(*read)
            if item is not None:
                return item
        return None

    def _take(self, kind: str, told: Any) -> Item | None:
        if kind == "end":
            self._ended = True
        elif kind in ("moment", "clip"):
            item = _sinks.record(kind, told, self.out, self._keep)
            self._found.append(item)
            wanted = self._transitions or item.state in ("closed", "ready", "failed")
            # Pictures beside a clip come with a transition of their own, which is no news to most.
            return item if wanted and (self._transitions or not _is_second(item)) else None
        elif kind == "signal":
            signal = Signal.from_json(told)
            self._found.append(signal)
            return signal
        elif kind == "notice":
            self.notices.append(told)
        elif kind == "failure":
            failure = Failure(*told)
            self.failures.append(failure)
            failure.warn()
        elif kind == "progress" and self._progress is not None:
            clock, stats = told
            counted = json.loads(stats)
            self._progress(int(clock), 0, f"{counted['events']} events, {counted['moments']} moments")
        return None

    def clips(self) -> Iterator[Clip]:
        """The clips alone, as their files are ready (or have failed)."""
        return (item for item in self if isinstance(item, Clip))

    def moments(self) -> Iterator[Moment]:
        """The moments alone."""
        return (item for item in self if isinstance(item, Moment))

    @property
    def stats(self) -> Mapping[str, Any]:
        """What was counted so far, by stream."""
        return json.loads(self._core.stats())["streams"]  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Asks the run to end in good order: what is pending is finished and can still be read. Returns at once."""
        self._core.stop(False)

    def wait(self) -> RunReport:
        """Reads to the end, and tells how it went.

        Raises:
            Error: A stream could not be read to its end, or a sink refused something for good: all of it is in the report that
                `report` has.
        """
        self._check_loop("use `await run.wait_async()`")
        while not self._ended:
            self._next(3600.0)
        return self._finish()

    async def wait_async(self) -> RunReport:
        """As `wait`, for coroutines."""
        async for _ in self:
            pass
        return self._report or self._told()

    def _finish(self) -> RunReport:
        self._join(3600.0)
        return self._report or self._told()

    def _told(self) -> RunReport:
        report = self._summed()
        for error in (*report.errors, *report.undelivered):
            raise error
        return report

    def _summed(self) -> RunReport:
        found = self._found
        summary, errors, undelivered = self._core.summary()
        told = json.loads(summary)
        self._report = RunReport(
            Moments(item for item in found if isinstance(item, Moment)),
            Clips(item for item in found if isinstance(item, Clip)),
            Signals(item for item in found if isinstance(item, Signal)),
            tuple(self.failures),
            tuple(self.notices),
            tuple(errors),
            tuple(undelivered),
            {stream["stream"]: stream["stats"] for stream in told["streams"]},
            told["interrupted"],
        )
        for stream in told["streams"]:
            if stream["was_ended"]:
                warnings.warn(f"{stream['stream']} was done already in {self.out}; choose another out to run it anew", stacklevel=4)
        return self._report

    @property
    def report(self) -> RunReport | None:
        """How it went, once it has ended."""
        return self._report

    def close(self) -> None:
        """Ends the run in good order, and at once where that takes longer than ten seconds; what was not read is dropped."""
        if self._report is None:
            self._core.stop(False)
            self._core.abandon()
            if not self._join(_GRACE):
                self._core.stop(True)
                self._loop.cancel()
                self._join(_GRACE)
            self._closed()

    def _join(self, patience: float) -> bool:
        ended = self._core.join(patience)
        if ended:
            self._loop.close()
        return ended

    def _closed(self) -> None:
        self._ended = True
        try:
            self._summed()
        except Conflict:
            # It does not end: threads of an iterator or a sink that never returns.
            pass

    async def _aclose(self, stop: bool) -> None:
        if stop:
            self._core.stop(False)
            self._core.abandon()
        patience = _GRACE if stop else 3600.0
        waited = 0.0
        while not self._core.join(0.0) and waited < patience:
            await asyncio.sleep(0.01)
            waited += 0.01
        if stop and not self._core.join(0.0):
            self._core.stop(True)
            self._loop.cancel()
        self._loop.close()
        if stop:
            self._closed()
        elif self._report is None:
            self._told()

    async def aclose(self) -> None:
        """As `close`, for coroutines."""
        if self._report is None:
            await self._aclose(stop=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Run({self._report!r})" if self._report is not None else f"Run(into {str(self.out)!r})"


def _is_second(item: Moment | Clip) -> bool:
    return isinstance(item, Clip) and item.state == "ready" and (item.thumbnail is not None or item.preview is not None)


@atexit.register
def _at_exit() -> None:
    """Threads that call into an interpreter which is going away must be gone before."""
    for live in list(_RUNS):
        try:
            live.close()
        except Conflict:
            pass
    _clipcore.close()


def run(
    input: Media | Iterable[Mapping[str, Any] | Record] | Sequence[PathLike] | None = None,
    *,
    rate: int | None = None,
    fps: float | None = None,
    stream: str | None = None,
    chat: PathLike | Iterable[Mapping[str, Any]] | None = None,
    events: Iterable[Mapping[str, Any] | Record] | str | None = None,
    out: PathLike | None = None,
    consent: Consent = None,
    config: Config = None,
    weights: PathLike | None = None,
    detectors: Iterable[Factory | str] = (),
    models: Iterable[Model] = (),
    sinks: Iterable[Sink | str] = (),
    progress: Progress | None = None,
    transitions: bool = False,
    signals: bool = False,
) -> Run:
    """Starts a pipeline: records the input, finds moments, cuts their clips.

    Args:
        input: A path, URL, bytes or array (see [`Media`][clipcore._inputs.Media]); a list of paths or URLs: the cameras of one stream.
        rate: Samples per second, for sound in an array.
        fps: Pictures per second, for pictures in an array.
        stream: The stream's id; from the input's name where absent.
        chat: Events whose instants are known beforehand, as a file of JSON lines or dictionaries with ``at`` or ``time``.
        events: Events as they come, from an iterator that may wait; or the name of an installed source.
        out: The folder of clips, moments and the log; where absent, a temporary one that goes with the run and its clips. Started again on the same
            folder after a crash, a run finishes what was pending, and nothing twice.
        consent: What the people concerned agreed to.
        config: Settings, as a TOML file or a mapping; what ``sinks`` and ``sources`` name takes part, too.
        weights: Decide with these weights, from [`tune`][clipcore.tune].
        detectors: Detectors in Python, or names of installed ones, beside the built-in ones.
        models: Models in Python that they ask, batched across streams.
        sinks: Functions, async functions, or names of installed ones, that take each transition of each moment and clip.
        progress: Called as ``progress(seconds, 0, what)`` by whoever reads the run.
        transitions: Give every transition, not only closed moments and finished clips.
        signals: Give signals, too.

    Raises:
        NotFound: There is no such file.
        ConfigError: A setting or a detector makes no sense.
        ConsentRequired: A detector needs more than the stream's people agreed to.
        Unsupported: ffmpeg is missing.
        Conflict: Another run uses the folder.
        Unavailable: A configured sink cannot be reached.
    """
    keep: list[object] = []
    names: list[str] = []
    if input is None:
        pass
    elif isinstance(input, (list, tuple)) and input and all(isinstance(i, (str, os.PathLike)) for i in input):
        names = [os.fspath(i) for i in input]
    else:
        prepared = _inputs.media(input, rate=rate, fps=fps)  # type: ignore[arg-type]
        names = [prepared.name]
        keep.append(prepared)
    if out is None:
        folder = _tools.Folder("out")
        keep.append(folder)
        out = folder.path
    schedule = None
    if chat is not None and not isinstance(chat, (str, os.PathLike)):
        written = _tools.Folder("chat")
        keep.append(written)
        schedule = written.path / "chat.jsonl"
        schedule.write_text("".join(json.dumps(dict(event)) + "\n" for event in chat), encoding="utf-8")
    elif chat is not None:
        schedule = Path(chat)
    feeder = None
    if events is not None:
        feeder = _inputs.feeder(plugins.load("sources", events)() if isinstance(events, str) else events)
    loop, place = _sinks.Loop(), Path(out)
    calls: list[tuple[str, Callable[[str, str], None]]] = []
    for sink in sinks:
        if isinstance(sink, str):
            sink = plugins.load("sinks", sink)
        calls.append((_sinks.name(sink, {taken for taken, _ in calls}), _sinks.caller(sink, place, loop, keep)))
    core = _clipcore.Run(
        settings(config, consent=consent, weights=weights, stream=stream, out=out),
        names,
        None if schedule is None else os.fspath(schedule),
        feeder,
        specs(detectors),
        list(models),
        calls,
        signals,
    )
    return Run(core, place, loop, keep, progress, transitions)
