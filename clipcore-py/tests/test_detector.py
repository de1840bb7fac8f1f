"""Detectors and models in Python."""

from __future__ import annotations

import json
import time
import traceback
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import clipcore
from clipcore import Audio16k, Detector, Event, Output, VideoFrame
from clipcore.conformance import check_detector
from clipcore.events import ChatMessage, Marker, Payload

MARKERS = [{"type": "marker", "stream": "s", "at": 100.0 * n, "data": {"label": "ace", "by": "ann"}} for n in range(1, 4)]


class Press(Detector[Marker]):
    """The twin of the built-in detector of markers."""

    name = "marker"
    labels = ("*",)
    inputs = (Marker,)

    def detect(self, event: Event[Marker], out: Output) -> None:
        out.signal(event.data.label or "marker", 1.0)


def test_a_detector_gives_the_moments_of_its_rust_twin() -> None:
    simulation = clipcore.simulate(seed=4, hours=1.0)
    events = [*simulation.events, *({**m, "stream": "sim", "at": m["at"] * 7 + 0.123457} for m in MARKERS)]
    rust = clipcore.replay(events)
    python = clipcore.replay(events, config={"detectors": {"off": ["marker"]}}, detectors=[Press])
    assert any(e.detector == "marker" for m in rust.moments for e in m.evidence)
    assert python.transitions == rust.transitions
    assert python.signals == rust.signals


class Burst(Detector[ChatMessage]):
    """Counts messages over a second; time that passes ends a second."""

    name = "my_burst"
    labels = ("burst",)
    inputs = (ChatMessage,)
    state = ("second", "count")

    def __init__(self) -> None:
        self.second: float | None = None
        self.count = 0

    def detect(self, event: Event[ChatMessage], out: Output) -> None:
        if self.second is None:
            self.second = float(event.at // 1)
        self.count += 1

    def advance(self, to: float, out: Output) -> None:
        if self.second is not None and to >= self.second + 1:
            if self.count >= 3:
                out.signal("burst", self.count, at=self.second + 1, onset=self.second)
            self.second, self.count = None, 0


def test_the_kit_passes_what_keeps_the_contract() -> None:
    for made in (Press, Burst, loud, lambda: Burst()):
        check_detector(made)


def test_the_kit_finds_state_that_is_not_declared() -> None:
    class Forgetful(Burst):
        state = ()

    with pytest.raises(clipcore.InternalError, match="snapshot and restore changed the signals"):
        check_detector(Forgetful)


def test_the_kit_finds_signals_that_depend_on_the_steps_of_time() -> None:
    class Impatient(Burst):
        def advance(self, to: float, out: Output) -> None:
            out.signal("burst", 1.0)

    with pytest.raises(clipcore.InternalError, match="without any input"):
        check_detector(Impatient)


def test_fixtures_come_with_the_wheel(clipcore_check_detector, clipcore_stream) -> None:
    clipcore_check_detector(Burst)
    found = clipcore.replay(clipcore_stream.events, detectors=[Burst]).signals
    assert len(found.where(lambda s: s.detector == "my_burst")) > 10


@clipcore.detector("loud", window=0.96, hop=0.48)
def loud(event: Event[Audio16k]) -> float:
    """How loud it is."""
    return float(np.sqrt(np.mean(event.data.samples.astype(np.float64) ** 2)))


def tone(seconds: float, at: float, length: float, rate: int = 16_000) -> np.ndarray:
    """Silence with a tone from `at`."""
    t = np.arange(int(seconds * rate)) / rate
    return np.where((t >= at) & (t < at + length), 0.9 * np.sin(2 * np.pi * 440 * t), 0).astype(np.float32)


def test_windows_are_views_of_clipcores_own_memory() -> None:
    kept = []

    @clipcore.detector("look", window=1.0, hop=0.5)
    def look(event: Event[Audio16k]) -> None:
        samples = event.data.samples
        assert samples.ctypes.data == event.data._address
        assert samples.dtype == np.float32 and samples.shape == (16_000,) and samples.base is event.data
        assert not samples.flags.writeable and not samples.flags.owndata
        kept.append(samples)

    sound = tone(6, 2.0, 1.0)
    found = clipcore.detect(sound, rate=16_000, detectors=[look])
    assert found.failures == ()
    assert len(kept) == 11
    # A view that is kept keeps what it shows.
    ends = [1.0 + 0.5 * n for n in range(11)]
    for end, samples in zip(ends, kept, strict=True):
        assert np.array_equal(samples, sound[int((end - 1.0) * 16_000) : int(end * 16_000)])
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0] = 1.0


def test_windows_end_on_multiples_of_the_hop_and_say_when() -> None:
    found = clipcore.detect(tone(6, 2.0, 1.0), rate=16_000, detectors=[loud]).signals
    mine = [(s.at, s.score) for s in found if s.detector == "loud"]
    assert [at for at, _ in mine] == pytest.approx([0.96 + 0.48 * n for n in range(11)])
    loudest = max(mine, key=lambda s: s[1])
    # 0.88 of its 0.96 s are the tone.
    assert loudest == pytest.approx((2.88, 0.9 * (0.5 * 0.88 / 0.96) ** 0.5), abs=0.001)


def test_pictures_are_views_too(ffmpeg) -> None:
    shapes = []

    @clipcore.detector("bright")
    def bright(event: Event[VideoFrame]) -> float:
        pixels = event.data.pixels
        assert pixels.ctypes.data == event.data._address and pixels.dtype == np.uint8 and not pixels.flags.writeable
        shapes.append(pixels.shape == (event.data.height, event.data.width, 3))
        return float(pixels.mean())

    pictures = np.zeros((60, 96, 128, 3), np.uint8)
    pictures[20:40] = 220
    scores = [s.score for s in clipcore.detect(pictures, fps=10, detectors=[bright]).signals]
    assert len(scores) >= 3 and all(shapes)
    assert scores[0] < 5 < 200 < scores[1]


def test_events_are_typed_and_kinds_of_ones_own_come_through() -> None:
    @dataclass(frozen=True)
    class HeartRate(Payload):
        KIND = "com.example.heart_rate"
        bpm: int

    seen = []

    @clipcore.detector("pulse", labels=["racing"], input=HeartRate)
    def pulse(event: Event[HeartRate]) -> float | None:
        seen.append((event.at, event.stream, event.kind, event.data))
        return 3.0 if event.data.bpm > 150 else None

    events = [{"type": HeartRate.KIND, "stream": "s", "at": float(n), "data": {"bpm": 100 + 30 * n, "device": "x"}} for n in range(3)]
    found = clipcore.replay(events, detectors=[pulse]).signals
    assert seen[2] == (2.0, "s", HeartRate.KIND, HeartRate(160))
    assert [(s.detector, s.label, s.at, s.score) for s in found] == [("pulse", "racing", 2.0, 3.0)]


def test_text_needs_consent() -> None:
    texts = []

    class Reads(Burst):
        needs = "chat_text"

        def detect(self, event: Event[ChatMessage], out: Output) -> None:
            texts.append(event.data.text)

    chat = [{"type": "chat.message", "stream": "s", "at": 1.0, "data": {"user": "u", "text": "hello"}}]
    with pytest.raises(clipcore.ConsentRequired, match="my_burst"):
        clipcore.replay(chat, detectors=[Reads])
    clipcore.replay(chat, detectors=[Reads], consent="chat_text")
    assert texts == ["hello"]


class Raises(Press):
    """Fails at the second marker."""

    name = "raises"

    def detect(self, event: Event[Marker], out: Output) -> None:
        super().detect(event, out)
        if event.at > 150:
            raise ZeroDivisionError("what the user wrote")


def test_an_exception_costs_its_detector_only_and_keeps_its_traceback() -> None:
    with pytest.warns(clipcore.DetectorWarning, match="raises of s is off since 200.000 s: ZeroDivisionError"):
        replayed = clipcore.replay(MARKERS, detectors=[Raises])
    assert len(replayed.moments) == 3
    assert [s.at for s in replayed.signals if s.detector == "raises"] == [100.0]
    (failure,) = replayed.failures
    assert (failure.detector, failure.stream, failure.at) == ("raises", "s", 200.0)
    told = "".join(traceback.format_exception(failure.error))
    assert "what the user wrote" in told and "test_detector.py" in told and "in detect" in told
    with pytest.raises(ZeroDivisionError):
        check_detector(Raises)


def test_the_exception_of_a_media_detector_is_told_too() -> None:
    @clipcore.detector("broken", window=1.0)
    def broken(event: Event[Audio16k]) -> float:
        raise KeyError("missing")

    with pytest.warns(clipcore.DetectorWarning, match="broken"):
        found = clipcore.detect(tone(4, 1.0, 1.0), rate=16_000, detectors=[broken, loud])
    assert [type(f.error) for f in found.failures] == [KeyError]
    assert any(s.detector == "loud" for s in found.signals)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda out: out.signal("other", 1.0), "not among the detector's labels"),
        (lambda out: out.signal("hit", 1.0, at=1e6), "lies in the future"),
        (lambda out: out.signal("hit", "loud"), "str"),
    ],
)
def test_what_a_detector_must_not_say_is_refused_where_it_says_it(wrong, says) -> None:
    class Wrong(Press):
        name = "wrong"
        labels = ("hit",)

        def detect(self, event: Event[Marker], out: Output) -> None:
            wrong(out)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (failure,) = clipcore.replay(MARKERS, detectors=[Wrong]).failures
    assert says in str(failure.error)


def test_an_output_is_open_during_its_call_only() -> None:
    class Keeps(Press):
        name = "keeps"
        outputs: list[Output] = []

        def detect(self, event: Event[Marker], out: Output) -> None:
            self.outputs.append(out)

    clipcore.replay(MARKERS, detectors=[Keeps])
    with pytest.raises(RuntimeError, match="has returned"):
        Keeps.outputs[0].signal("x", 1.0)


def test_mistakes_in_declarations_are_said_early() -> None:
    class Nameless(Press):
        name = ""

    class Both(Press):
        window = 1.0

    class Mixed(Press):
        inputs = (Marker, Audio16k)

    for wrong, says in [(Nameless, "needs a name"), (Both, "windows are of sound"), (Mixed, "sound or pictures")]:
        with pytest.raises(clipcore.ConfigError, match=says):
            clipcore.replay(MARKERS, detectors=[wrong])
    with pytest.raises(TypeError, match="not an object"):
        clipcore.replay(MARKERS, detectors=[Press()])
    with pytest.raises(clipcore.ConfigError, match="annotate its argument"):
        clipcore.detector("x")(lambda event: None)
    with pytest.raises(clipcore.ConfigError, match="two detectors named"):
        clipcore.replay(MARKERS, detectors=[Press])


class Doubling:
    """A model that remembers its batches."""

    name = "doubling"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, batch):
        self.batches.append(len(batch))
        return [{"twice": 2 * item["x"], "shape": np.array(item["x"].shape)} for item in batch]


class Asks(Detector[Marker]):
    """Asks a model about every marker, twice."""

    name = "asks"
    labels = ("answer",)
    inputs = (Marker,)

    def detect(self, event: Event[Marker], out: Output) -> None:
        for tag in (1, 2):
            out.request("doubling", {"x": np.full((2, 3), event.at * tag)}, tag=tag)

    def resolve(self, tag: int, at: float, answer, out: Output) -> None:
        assert answer["twice"].shape == (2, 3) and list(answer["shape"]) == [2, 3] and answer["twice"].dtype == np.float32
        if tag == 2:
            out.signal("answer", float(answer["twice"][0, 0]))


def test_models_answer_in_batches() -> None:
    model = Doubling()
    replayed = clipcore.replay(MARKERS, detectors=[Asks], models=[model])
    assert [s.score for s in replayed.signals if s.detector == "asks"] == [400.0, 800.0, 1200.0]
    assert model.batches == [2, 2, 2]
    check_detector(Asks, models=[model])


def test_a_model_that_fails_costs_its_answers_only() -> None:
    class Broken(Doubling):
        def infer(self, batch):
            raise MemoryError("too large")

    replayed = clipcore.replay(MARKERS, detectors=[Asks], models=[Broken()])
    assert len(replayed.moments) == 3 and not any(s.detector == "asks" for s in replayed.signals)


def test_streams_share_a_models_batches(tmp_path) -> None:
    class Slow(Doubling):
        def infer(self, batch):
            time.sleep(0.02)
            return super().infer(batch)

    paths = []
    for n in range(4):
        path = tmp_path / f"s{n}.jsonl"
        lines = [json.dumps({"type": "marker", "stream": f"s{n}", "at": float(t), "data": {}}) for t in range(25)]
        path.write_text("\n".join(lines))
        paths.append(path)
    model = Slow()
    replayed = clipcore.replay(paths, detectors=[Asks], models=[model], threads=4)
    assert sum(model.batches) == 4 * 25 * 2
    assert max(model.batches) > 2, "no batch held requests of two streams"
    alone = clipcore.replay(paths, detectors=[Asks], models=[Doubling()], threads=1)
    assert replayed.signals == alone.signals


def test_a_sound_model_gives_its_numbers_patch_by_patch() -> None:
    model = clipcore.AudioModel()
    sound = tone(4, 1.0, 1.0)
    ends, scores = model.scores(sound, hop=0.5)
    assert scores.shape == (len(ends), len(model.labels)) and scores.dtype == np.float32
    assert ends[0] == model.patch / 16_000 and np.allclose(np.diff(ends), 0.5) and ends[-1] <= 4.0
    late = model.scores(sound[16_000:], hop=0.5)[1]
    assert np.allclose(late, scores[2:], atol=1e-5), "a patch does not depend on its neighbours"
    assert model.scores(sound[:100])[1].shape == (0, len(model.labels))
    with pytest.raises(clipcore.NotFound, match="known are"):
        clipcore.AudioModel("nonesuch")


def test_yamnet_gives_the_scores_of_onnxruntime(shared) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = clipcore.AudioModel("yamnet", config={"models": {"dir": str(shared / "models/yamnet")}})
    assert onnxruntime.__version__ in model.runs_on or "onnxruntime" in model.runs_on.lower()
    assert len(model.labels) == 521
