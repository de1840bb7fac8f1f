"""Progress for people: callbacks for ``progress=`` that draw with tqdm or rich.

A callback is called as ``progress(done, total, what)`` on the thread that waits for the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``: ``done`` of ``total`` are finished, the last of them ``what``."""


@contextmanager
def tqdm(**options: Any) -> Iterator[Progress]:
    """A bar of tqdm; ``options`` go to it.

    >>> with clipcore.progress.tqdm(desc="replaying") as progress:  # doctest: +SKIP
    ...     clipcore.replay(files, progress=progress)
    """
    from tqdm.auto import tqdm as bar

    with bar(**{"unit": "file", **options}) as drawn:

        def update(done: int, total: int, what: str) -> None:
            drawn.total = total
            drawn.set_postfix_str(what, refresh=False)
            drawn.update(done - drawn.n)

        yield update


@contextmanager
def rich(description: str = "working", **options: Any) -> Iterator[Progress]:
    """A bar of rich; ``options`` go to `rich.progress.Progress`."""
    from rich.progress import Progress as Bars

    with Bars(**options) as bars:
        task = bars.add_task(description, total=None)

        def update(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total, description=f"{description} {what}")

        yield update
