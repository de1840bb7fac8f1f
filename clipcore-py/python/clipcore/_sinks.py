"""Sinks in Python: where moments and clips go beside the reader of a run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Union

from clipcore._records import Clip, Moment

Sink = Callable[[Union[Moment, Clip]], Union[None, Awaitable[None]]]
"""A function, or an async function, that takes each transition of each moment and clip.

It may be called again with the same ``id`` and ``rev`` after a crash, and should then have no second effect. An exception with a true
attribute ``retryable``, a ``ConnectionError`` or a ``TimeoutError`` is tried again with growing pauses; any other means that the item
is not delivered.
"""


class Loop:
    """The event loop that async sinks run on: the caller's, or one on a thread of its own."""

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self.is_callers = self._loop is not None
        self._waiting: set[concurrent.futures.Future[BaseException | None]] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, work: Awaitable[None]) -> None:
        """Runs to the end; called from clipcore's threads."""
        coroutine: Coroutine[Any, Any, BaseException | None] = _finished(work)
        begun: list[Awaitable[Any]] = [coroutine, work]
        try:
            with self._lock:
                if self._loop is None:
                    self._loop = asyncio.new_event_loop()
                    self._thread = threading.Thread(target=self._loop.run_forever, name="clipcore-sinks", daemon=True)
                    self._thread.start()
                if not self.is_callers:
                    coroutine = _returned(coroutine)
                    begun.insert(0, coroutine)
                waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
                self._waiting.add(waiting)
            try:
                raised = waiting.result()
            finally:
                self._waiting.discard(waiting)
        finally:
            # A loop that has ended meanwhile begins none of them, and Python warns of those that nobody closes.
            for part in begun:
                if inspect.iscoroutine(part) and inspect.getcoroutinestate(part) == inspect.CORO_CREATED:
                    part.close()
        if raised is not None:
            raise raised

    def cancel(self) -> None:
        """Sinks that are still at it are cancelled."""
        for waiting in list(self._waiting):
            waiting.cancel()

    def close(self) -> None:
        """Ends the thread."""
        with self._lock:
            if self._thread is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._thread = self._loop = None


def name(sink: Sink, taken: set[str]) -> str:
    """The sink's name in receipts and messages, unlike those that are taken."""
    named = str(getattr(sink, "name", None) or getattr(sink, "__name__", None) or type(sink).__name__)
    return next(n for n in (named, *(f"{named}-{count}" for count in range(2, len(taken) + 3))) if n not in taken)


def caller(sink: Sink, folder: Path, loop: Loop, keep: object) -> Callable[[str, str], None]:
    """What the compiled part calls with a kind and JSON."""

    def call(kind: str, text: str) -> None:
        item = record(kind, text, folder, keep)
        result = sink(item)
        if inspect.isawaitable(result):
            loop.run(result)

    return call


async def _finished(work: Awaitable[None]) -> None:
    await work


async def _returned(work: Awaitable[Any]) -> BaseException | None:
    """What it raises where that would end the loop that all sinks share."""
    try:
        await work
    except (KeyboardInterrupt, SystemExit) as raised:
        return raised
    return None


def record(kind: str, text: str, folder: Path, keep: object) -> Moment | Clip:
    """A moment, or a clip that knows where its file lies and keeps a temporary folder there."""
    if kind == "moment":
        return Moment.from_json(text)
    return dataclasses.replace(Clip.from_json(text), folder=folder, _keep=keep)
