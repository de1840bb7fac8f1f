"""Pipelines: every kind of input, iteration, sinks, the end."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import clipcore
from clipcore import Audio16k, Event
from clipcore.events import Marker

ACE = [{"type": "marker", "at": 6.0, "data": {"label": "ace"}}]


def test_moments_and_clips_come_as_they_are_ready(talk) -> None:
    with clipcore.run(talk, chat=ACE) as run:
        moment, clip = run
    assert isinstance(moment, clipcore.Moment) and isinstance(clip, clipcore.Clip)
    assert (moment.label, moment.state, moment.peak) == ("ace", "closed", 6.0)
    assert clip.moment == moment.id and clip.state == "ready" and clip.file.is_file()
    assert run.report.stats["talk"]["events"] == 1
    folder = run.out
    del run, clip, moment
    assert not folder.exists(), "the temporary folder goes with the run"


def test_the_results_are_those_of_the_program(talk, program, tmp_path) -> None:
    chat = tmp_path / "chat.jsonl"
    chat.write_text("".join(json.dumps(e) + "\n" for e in ACE))
    program("run", talk, "--chat", chat, "--out", tmp_path / "theirs")
    report = clipcore.run(talk, chat=chat, out=tmp_path / "ours").wait()
    lines = (tmp_path / "theirs/moments.jsonl").read_text()
    assert report.transitions.to_jsonl() == clipcore.Moments(map(clipcore.Moment.from_json, lines.splitlines())).to_jsonl()
    theirs = [json.loads(line) for line in (tmp_path / "theirs/clips.jsonl").read_text().splitlines()]
    assert [c.sha256 for c in report.clips] == [theirs[-1]["sha256"]]


def test_a_clip_says_how_often_it_was_cut_anew() -> None:
    line = (
        '{"id":"c","moment":"m","rev":3,"stream":"s","camera":"main","state":"ready","path":"clips/c.mp4",'
        '"asked":{"start":1.0,"end":2.0},"achieved":{"start":1.0,"end":2.0},"exact":true,"reasons":[],"edit":2}'
    )
    clip = clipcore.Clip.from_json(line)
    assert clip.edit == 2 and clip.to_dict() == json.loads(line)
    never = clipcore.Clip.from_json(line.replace(',"edit":2', ""))
    assert never.edit == 0 and "edit" not in never.to_dict(), "as the program writes it"


def test_transitions_are_given_where_they_are_wanted(talk) -> None:
    items = list(clipcore.run(talk, chat=ACE, transitions=True))
    assert [m.rev for m in items if isinstance(m, clipcore.Moment)] == [1, 2, 3]
    assert [c.state for c in items if isinstance(c, clipcore.Clip)][:2] == ["pending", "ready"]


def test_async_iteration_leaves_the_loop_free(talk) -> None:
    async def main() -> tuple[list[object], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        async with clipcore.run(talk, chat=ACE) as run:
            items = [item async for item in run]
        ticking.cancel()
        return items, ticks

    items, ticks = asyncio.run(main())
    assert [type(i) for i in items] == [clipcore.Moment, clipcore.Clip]
    assert ticks > 5


def test_two_runs_in_one_loop(talk) -> None:
    async def one(name: str) -> str:
        report = await clipcore.run(talk, stream=name, chat=ACE).wait_async()
        return report.moments[0].stream

    async def main() -> list[str]:
        return await asyncio.gather(one("a"), one("b"))

    assert asyncio.run(main()) == ["a", "b"]


def test_bytes_and_arrays_are_inputs_too(talk) -> None:
    report = clipcore.run(talk.read_bytes(), stream="bytes", chat=ACE).wait()
    assert [m.label for m in report.moments] == ["ace"] and len(report.clips) == 1
    t = np.arange(16_000 * 12) / 16_000
    sound = (0.1 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    report = clipcore.run(sound, rate=16_000, stream="sound", chat=ACE).wait()
    assert [m.label for m in report.moments] == ["ace"] and len(report.clips) == 1
    pictures = np.zeros((120, 64, 96, 3), np.uint8)
    assert len(clipcore.run(pictures, fps=10, stream="pictures", chat=ACE).wait().clips) == 1
    for wrong, says in [(np.zeros((3, 3), np.int64), "neither sound nor pictures"), (sound, "no rate")]:
        with pytest.raises(clipcore.InvalidInput, match=says):
            clipcore.run(wrong)


def test_cameras_are_inputs_in_a_list(talk, tmp_path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(talk.read_bytes())
    report = clipcore.run([talk, other], stream="show", chat=ACE).wait()
    assert sorted(clip.camera for clip in report.clips) == ["cam1", "cam2"]


def test_events_may_come_from_an_iterator() -> None:
    def live():
        for n in range(3):
            yield {"type": "marker", "at": 1.0 + n, "data": {"label": "ace"}}
        yield {"type": "marker", "data": {}}

    report = clipcore.run(events=live(), stream="live").wait()
    assert [m.label for m in report.moments] == ["ace"]
    assert report.stats["live"]["events"] == 3 and report.stats["live"]["bad"] == 1


def test_what_cannot_be_started_says_why(talk, tmp_path, monkeypatch) -> None:
    with pytest.raises(clipcore.NotFound, match="nosuch.mp4"):
        clipcore.run(tmp_path / "nosuch.mp4")
    with pytest.raises(clipcore.Unsupported, match="gopher"):
        clipcore.run("gopher://x/y")
    with pytest.raises(clipcore.ConfigError, match="latenes"):
        clipcore.run(talk, config={"engine": {"latenes": 3}})
    monkeypatch.setenv("CLIPCORE_FFMPEG", str(tmp_path / "no-ffmpeg"))
    with pytest.raises(clipcore.Unsupported, match="ffmpeg cannot be run"):
        clipcore.run(talk)


def test_an_input_that_cannot_be_read_raises_at_the_end(tmp_path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no media at all" * 100)
    run = clipcore.run(tmp_path / "noise.mp4")
    with pytest.raises(clipcore.Error):
        run.wait()
    assert run.report.errors


def test_sinks_may_be_functions_or_coroutines(talk) -> None:
    told: list[tuple[str, object]] = []

    def plain(item: object) -> None:
        told.append(("plain", item))

    async def late(item: object) -> None:
        await asyncio.sleep(0.01)
        told.append(("late", item))

    report = clipcore.run(talk, chat=ACE, sinks=[plain, late]).wait()
    of = {who: [item for w, item in told if w == who] for who in ("plain", "late")}
    assert of["plain"] == of["late"]
    assert [m for m in of["plain"] if isinstance(m, clipcore.Moment)] == list(report.transitions)
    assert [c.state for c in of["plain"] if isinstance(c, clipcore.Clip)][:2] == ["pending", "ready"]
    assert of["plain"][-1].file.is_file()


def test_an_async_sink_runs_on_the_callers_loop(talk) -> None:
    async def main() -> tuple[object, set[object]]:
        loops: set[object] = set()

        async def sink(item: object) -> None:
            loops.add(asyncio.get_running_loop())

        run = clipcore.run(talk, chat=ACE, sinks=[sink])
        with pytest.raises(clipcore.Conflict, match="async for"):
            next(run)
        await run.wait_async()
        return asyncio.get_running_loop(), loops

    loop, loops = asyncio.run(main())
    assert loops == {loop}


def test_a_sink_is_tried_again_where_that_can_help_and_told_where_not(talk) -> None:
    calls: list[str] = []

    def flaky(item: object) -> None:
        calls.append(type(item).__name__)
        if len(calls) == 1:
            raise ConnectionError("not yet")

    report = clipcore.run(talk, chat=ACE, sinks=[flaky]).wait()
    assert len(calls) == len(report.transitions) + len(report.clip_transitions) + 1

    def broken(item: object) -> None:
        raise ValueError("never")

    run = clipcore.run(talk, chat=ACE, sinks=[broken])
    with pytest.raises(clipcore.InternalError, match="the sink broken has failed") as caught:
        run.wait()
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(run.report.moments) == 1, "everything else is done"


def test_detectors_and_models_of_ones_own_make_moments(talk) -> None:
    class Loudest:
        name = "loudest"

        def infer(self, batch):
            return [np.abs(item).max(keepdims=True) for item in batch]

    class Loud(clipcore.Detector[Audio16k]):
        name = "mine"
        labels = ("loud",)
        inputs = (Audio16k,)
        window = 1.0
        hop = 0.5

        def detect(self, event: Event[Audio16k], out: clipcore.Output) -> None:
            out.request("loudest", event.data.samples)

        def resolve(self, tag, at, answer, out) -> None:
            if answer[0] > 0.05:
                out.signal("loud", 8.0, at=at)

    off = {"detectors": {"off": ["loudness", "audio_tagger"]}}
    report = clipcore.run(talk, detectors=[Loud], models=[Loudest()], signals=True, config=off).wait()
    assert {s.detector for s in report.signals} == {"mine"}
    at = [s.at for s in report.signals]
    assert at[0] == pytest.approx(5.5) and 8.5 <= at[-1] <= 9.0
    assert [m.evidence[0].detector for m in report.moments] == ["mine"]


def test_a_detector_that_raises_costs_the_run_nothing_else(talk) -> None:
    @clipcore.detector("broken")
    def broken(event: Event[Marker]) -> float:
        raise LookupError("what the user wrote")

    with pytest.warns(clipcore.DetectorWarning, match="broken of talk"):
        report = clipcore.run(talk, chat=ACE, detectors=[broken]).wait()
    assert len(report.moments) == 1
    assert isinstance(report.failures[0].error, LookupError) and report.failures[0].error.__traceback__ is not None


def test_a_run_goes_on_where_it_was(talk, tmp_path) -> None:
    first = clipcore.run(talk, chat=ACE, out=tmp_path).wait()
    with pytest.warns(UserWarning, match="was done already"):
        again = clipcore.run(talk, chat=ACE, out=tmp_path).wait()
    assert len(first.moments) == 1 and len(again.moments) == 0


def test_a_run_can_be_left_early(talk) -> None:
    with clipcore.run(talk, chat=ACE) as run:
        next(run)
    assert run.report.interrupted or run.report.stats
    with clipcore.run(events=iter(lambda: {"type": "marker", "at": 1.0, "data": {}}, None), stream="endless") as run:
        pass
    assert run.report is not None


def test_progress_is_told_by_the_clock(talk) -> None:
    told: list[tuple[int, int, str]] = []
    clipcore.run(talk, chat=ACE, progress=lambda *news: told.append(news)).wait()
    assert told[-1][0] >= 11 and "1 events" in told[-1][2]


def test_the_program_comes_with_the_wheel(talk, tmp_path) -> None:
    import sys

    done = subprocess.run([sys.executable, "-m", "clipcore", "detect", str(talk), "--detector", "loudness"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["detector"] == "loudness"
    wrong = subprocess.run([sys.executable, "-m", "clipcore", "replay", str(Path("nosuch.jsonl"))], capture_output=True, text=True)
    assert wrong.returncode == 3 and "nosuch.jsonl" in wrong.stderr
