"""Threads, forks, event loops, the interpreter's end and exceptions in callbacks: nothing crashes and nothing hangs.

Each case is a program of its own, under the development mode and Python's debugging allocator.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
import os, signal, sys, threading, time, warnings
# Where the tests run in the background of a shell, interrupts are ignored, and Python leaves that so.
signal.signal(signal.SIGINT, signal.default_int_handler)
import clipcore
from clipcore import Event
from clipcore.events import ChatMessage, Marker

warnings.filterwarnings("ignore", category=clipcore.DetectorWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")

def endless(pause=0.01):
    n = 0.0
    while True:
        n += 0.1
        time.sleep(pause)
        yield {"type": "marker", "at": n, "data": {"label": "ace"}}

@clipcore.detector("mine", labels=["*"])
def mine(event: Event[ChatMessage]):
    return {"talk": 1.0}

def live(events, **more):
    # Its clock is the machine's: the first moment opens within two seconds.
    settings = {"engine": {"lateness": 0.0}}
    return clipcore.run(events=events, transitions=True, signals=True, config=settings, **{"stream": "live", **more})

SIMULATION = clipcore.simulate(seed=3, hours=0.2)

class Late:
    # Goes with the module sys, near the interpreter's end, and lets other threads run meanwhile.
    pause = 0.5
    def __del__(self, sleep=time.sleep):
        sleep(self.pause)
"""


def start(body: str, *options: str) -> subprocess.Popen[str]:
    """Starts a program."""
    environment = {**os.environ, "PYTHONMALLOC": "debug", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-X", "dev", *options, "-c", PRELUDE + textwrap.dedent(body)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ends(body: str, *options: str, seconds: float = 40.0) -> str:
    """Runs a program to its good end; gives what it printed."""
    running = start(body, *options)
    try:
        out, said = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGABRT)
        raise AssertionError("it hangs:\n" + running.communicate()[1]) from None
    assert running.returncode == 0, f"{running.returncode}\n{said}"
    assert not any(word in said for word in ("Traceback", "Warning", "panicked")), said
    return out


def test_the_interpreter_ends_while_a_pipeline_runs() -> None:
    out = ends("""
        run = live(endless(), detectors=[mine])
        print(type(next(run)).__name__)
    """)
    assert out == "Signal\n"


def test_the_interpreter_ends_while_nobody_reads() -> None:
    ends("""
        kept = [live(endless(0.0), sinks=[lambda item: time.sleep(0.01)]) for _ in range(3)]
        time.sleep(0.3)
    """)


def test_the_interpreter_ends_in_the_middle_of_a_replay_in_a_daemon_thread() -> None:
    body = """
        def work():
            while True:
                clipcore.replay(SIMULATION.events, detectors=[mine])
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.4)
        sys.late = Late()
    """
    # Several at once: threads that wait for a core find more ways to come in at the wrong time.
    for running in [start(body) for _ in range(8)]:
        _, said = running.communicate(timeout=60)
        assert running.returncode == 0 and "panicked" not in said, f"{running.returncode}\n{said}"


def test_nothing_is_called_once_the_interpreter_has_begun_to_end() -> None:
    out = ends("""
        calls = []
        class Counts(clipcore.Detector[ChatMessage]):
            name, labels, inputs = "counts", ("x",), (ChatMessage,)
            def detect(self, event, out):
                calls.append(event.at)
                time.sleep(0.001)
        threading.Thread(target=lambda: clipcore.replay(SIMULATION.events, detectors=[Counts]), daemon=True).start()
        while not calls:
            time.sleep(0.01)
        # What the end does first.
        clipcore._clipcore.close()
        before = len(calls)
        time.sleep(0.3)
        print(len(calls) - before, before < len(SIMULATION.events))
    """)
    assert out == "0 True\n"


def test_exit_from_inside_a_callback_of_a_reader() -> None:
    running = start("""
        with live(endless()) as run:
            for item in run:
                sys.exit(7)
    """)
    running.communicate(timeout=30)
    assert running.returncode == 7


@pytest.mark.parametrize("how", ["next(run)", "run.wait()", "asyncio.run(run.wait_async())"])
def test_ctrl_c_ends_what_waits(how: str) -> None:
    running = start(f"""
        import asyncio
        def silent():
            while True:
                time.sleep(0.05)
                yield {{"type": "platform.event", "data": {{"kind": "follow"}}}}
        run = live(silent())
        print("ready", flush=True)
        try:
            {how}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, said = running.communicate(timeout=30)
    assert out == "interrupted\n" and running.returncode == 0, said
    assert time.monotonic() - began < 30


def test_ctrl_c_ends_a_replay(tmp_path) -> None:
    running = start(f"""
        class Slow(clipcore.Detector[ChatMessage]):
            name, labels, inputs = "slow", ("x",), (ChatMessage,)
            def detect(self, event, out):
                time.sleep(0.002)
        paths = []
        for n in range(40):
            paths.append(clipcore.simulate(seed=n, hours=0.05, stream=f"s{{n}}").write({str(tmp_path)!r}))
        print("ready", flush=True)
        try:
            clipcore.replay(paths, detectors=[Slow])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=30)
    assert out == "interrupted\n" and running.returncode == 0, said


def test_threads_share_nothing() -> None:
    out = ends("""
        results = []
        def work():
            results.append(clipcore.replay(SIMULATION.events, detectors=[mine]))
        threads = [threading.Thread(target=work) for _ in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert all(r.transitions == results[0].transitions and r.signals == results[0].signals for r in results)
        print(len(results), len(results[0].signals) > 100)
    """)
    assert out == "8 True\n"


def test_a_forked_process_works_and_leaves_its_parents_runs_alone() -> None:
    out = ends("""
        before = clipcore.replay(SIMULATION.events, detectors=[mine])
        report = clipcore.evaluate(before.moments, SIMULATION.labels, durations={"sim": 720.0})
        run = live(endless())
        folder = run.out
        next(run)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                try:
                    next(run)
                except clipcore.Conflict as error:
                    assert "process that forked" in str(error)
                    assert clipcore.replay(SIMULATION.events, detectors=[mine]) == before
                    assert clipcore.evaluate(before.moments, SIMULATION.labels, durations={"sim": 720.0}) == report
                    with live(endless(), stream="other") as own:
                        assert next(own).stream == "other"
                    del run
                    code = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert folder.is_dir()
        assert next(run).stream == "live"
        run.close()
        print("both")
    """)
    assert out == "both\n"


def test_a_forked_process_ends_like_any_other() -> None:
    out = ends("""
        import multiprocessing
        run = live(endless())
        next(run)
        def work():
            sys.exit(0 if len(clipcore.replay(SIMULATION.events).signals) else 1)
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(30)
        print(child.exitcode)
    """)
    assert out == "0\n"


def test_a_task_that_is_cancelled_can_be_followed_by_another() -> None:
    out = ends("""
        import asyncio
        async def main():
            async with live(endless(5.0)) as run:
                try:
                    await asyncio.wait_for(run.__anext__(), 0.2)
                except asyncio.TimeoutError:
                    print("timeout")
            async with live(endless()) as run:
                async for item in run:
                    print(type(item).__name__)
                    break
        asyncio.run(main())
    """)
    assert out == "timeout\nSignal\n"


def test_a_loop_that_is_closed_does_no_harm() -> None:
    ends("""
        import asyncio
        run = live(endless())
        async def one():
            return await run.__anext__()
        assert asyncio.run(one()).label == "ace"
        assert asyncio.run(one()).label == "ace"
        run._core.set_waker(lambda: 1 / 0)
        time.sleep(0.2)
        run.close()
    """)


def test_exceptions_in_every_callback() -> None:
    out = ends("""
        class Bad(clipcore.Detector[Marker]):
            name, labels, inputs = "bad", ("x",), (Marker,)
            def advance(self, to, out):
                raise RuntimeError("advance")
            def detect(self, event, out):
                raise RuntimeError("detect")
        class Unmade(clipcore.Detector[Marker]):
            name, labels, inputs = "unmade", ("x",), (Marker,)
            def __init__(self):
                raise RuntimeError("made")
        class Broken:
            name = "broken"
            def infer(self, batch):
                raise RuntimeError("infer")
        class Asks(clipcore.Detector[Marker]):
            name, labels, inputs = "asks", ("x",), (Marker,)
            def detect(self, event, out):
                out.request("broken", [1.0])
        def iterator():
            yield {"type": "marker", "at": 1.0, "data": {}}
            time.sleep(0.2)
            raise RuntimeError("iterator")
        def progress(*news):
            raise RuntimeError("progress")
        def sink(item):
            raise RuntimeError("sink")
        told = []
        def tried(what):
            try:
                what()
            except clipcore.Error as error:
                told.append(str(error.__cause__))
            except RuntimeError as error:
                told.append(str(error))
        tried(lambda: clipcore.replay(SIMULATION.events, detectors=[Unmade]))
        tried(lambda: clipcore.run(events=iterator(), stream="a", detectors=[Unmade]))
        tried(lambda: clipcore.run(events=iterator(), stream="b", detectors=[Bad, Asks], models=[Broken()]).wait())
        tried(lambda: clipcore.run(events=iter(list(__import__("itertools").islice(endless(0), 3))), stream="c", sinks=[sink]).wait())
        with live(endless(), stream="d", progress=progress) as run:
            tried(run.wait)
        print(told)
    """)
    assert out == "['made', 'made', 'iterator', 'sink', 'progress']\n"


def test_views_outlive_everything() -> None:
    ends("""
        import numpy
        kept = []
        @clipcore.detector("keeps", window=0.5)
        def keeps(event: Event[clipcore.Audio16k]):
            kept.append(event.data.samples)
        sound = numpy.random.default_rng(1).standard_normal(16000 * 5).astype(numpy.float32) * 0.1
        clipcore.detect(sound, rate=16000, detectors=[keeps])
        import gc
        gc.collect()
        assert numpy.array_equal(numpy.concatenate(kept), sound)
    """)


def test_an_iterator_that_waits_neither_holds_up_the_end_nor_crashes_it() -> None:
    out = ends("""
        def waits():
            yield {"type": "marker", "at": 1.0, "data": {"label": "ace"}}
            # The first moment opens after two seconds: this wakes up in the middle of the interpreter's end.
            time.sleep(3.5)
            print("woke", flush=True)
        run = live(waits())
        next(run)
        run.close()
        Late.pause = 3.0
        sys.late = Late()
        print("closed", flush=True)
    """)
    assert out == "closed\n"


def test_the_interpreter_ends_while_media_is_recorded(talk, ffmpeg, tmp_path) -> None:
    # A pipe that never ends is as good as a live stream.
    live = tmp_path / "live.ts"
    subprocess.run([ffmpeg, "-v", "error", "-i", str(talk), "-c", "copy", str(tmp_path / "talk.ts")], check=True)
    os.mkfifo(live)
    out = ends(f"""
        from pathlib import Path
        def feed():
            with open({str(live)!r}, "wb") as pipe:
                pipe.write(Path({str(tmp_path / "talk.ts")!r}).read_bytes())
                pipe.flush()
                time.sleep(3600)
        threading.Thread(target=feed, daemon=True).start()
        run = clipcore.run({str(live)!r}, detectors=[mine], out={str(tmp_path / "out")!r})
        while not any(path.is_file() for path in (run.out / "recordings").rglob("*.mp4")):
            time.sleep(0.02)
        print(*[task.read_text() for task in Path("/proc/self/task").glob("*/children")])
    """)
    assert out.split() and not [pid for pid in out.split() if os.path.exists(f"/proc/{pid}")], "ffmpeg outlives the interpreter"


def test_the_interpreter_ends_while_a_sink_is_busy() -> None:
    ends("""
        import asyncio
        began = threading.Event()
        def slow(item):
            began.set()
            time.sleep(0.5)
        async def never(item):
            await asyncio.sleep(3600)
        run = live(endless(), sinks=[slow, never])
        began.wait()
    """)


def test_a_loop_that_ends_before_its_sinks_do_does_not_hang() -> None:
    out = ends("""
        import asyncio
        async def sink(item):
            await asyncio.sleep(0.01)
        async def main():
            run = live(endless(), sinks=[sink])
            await run.__anext__()
            return run
        run = asyncio.run(main())
        run.close()
        print(run.report is not None)
    """)
    assert out == "True\n"


def test_two_threads_may_read_one_run() -> None:
    out = ends("""
        def some():
            for n in range(200):
                yield {"type": "marker", "at": float(n), "data": {"label": "ace"}}
        run = live(some())
        taken = [[], []]
        def read(mine):
            for item in run:
                mine.append(item)
        threads = [threading.Thread(target=read, args=(mine,)) for mine in taken]
        [t.start() for t in threads]
        [t.join() for t in threads]
        signals = sorted(i.at for mine in taken for i in mine if isinstance(i, clipcore.Signal))
        print(signals == [float(n) for n in range(200)])
    """)
    assert out == "True\n"


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit", "asyncio.CancelledError", "MemoryError"])
def test_not_even_exceptions_that_end_programs_end_more_than_their_callback(raised: str) -> None:
    out = ends(f"""
        import asyncio, itertools
        class Bad(clipcore.Detector[Marker]):
            name, labels, inputs = "bad", ("x",), (Marker,)
            def detect(self, event, out):
                raise {raised}
        async def late(item):
            raise {raised}
        def plain(item):
            raise {raised}
        def few():
            return itertools.islice(endless(0.0), 3)
        replayed = clipcore.replay(list(few()), detectors=[Bad])
        print([type(f.error).__name__ for f in replayed.failures], len(replayed.moments))
        for sink in (plain, late):
            run = live(few(), sinks=[sink])
            try:
                run.wait()
            except clipcore.Error as error:
                print(type(error.__cause__).__name__, len(run.report.moments))
    """)
    name = raised.rpartition(".")[2]
    assert out == f"['{name}'] 1\n{name} 1\n{name} 1\n"


def test_a_state_that_cannot_be_taken_or_restored_is_an_error_and_no_crash() -> None:
    out = ends("""
        from clipcore.conformance import check_detector
        class Untaken(clipcore.Detector[Marker]):
            name, labels, inputs = "untaken", ("x",), (Marker,)
            def detect(self, event, out):
                pass
            def snapshot(self):
                return object()
        class Unrestored(Untaken):
            def snapshot(self):
                return {}
            def restore(self, state):
                raise RuntimeError("what the user wrote")
        for made in (Untaken, Unrestored):
            try:
                check_detector(made)
            except clipcore.Error as error:
                print(type(error.__cause__).__name__)
    """)
    assert out == "TypeError\nRuntimeError\n"
