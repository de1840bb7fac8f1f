"""Replay and what it gives: the program's own results, as typed objects and tables."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import json
import pickle
from pathlib import Path

import pytest

import clipcore

SIMULATION = clipcore.simulate(seed=3, hours=1.0)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Four recordings, one of them packed."""
    paths = [clipcore.simulate(seed=n, hours=0.5, stream=f"s{n}").write(tmp_path) for n in range(3)]
    packed = tmp_path / "s9.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(clipcore.simulate(seed=9, hours=0.5, stream="s9").lines).encode()))
    return [*paths, packed]


def test_the_moments_are_those_of_the_program(files, program) -> None:
    told = [json.loads(line) for line in program("replay", *files).splitlines()]
    replayed = clipcore.replay(files, threads=2)
    assert len(told) > 20
    assert replayed.transitions.to_dicts() == told
    assert clipcore.replay(files, threads=1).transitions == replayed.transitions


def test_events_may_lie_in_files_bytes_or_memory(tmp_path) -> None:
    path = SIMULATION.write(tmp_path)
    of_file = clipcore.replay(path)
    assert len(of_file.moments) > 5
    for same in (path.read_bytes(), SIMULATION.events, [str(path)]):
        assert clipcore.replay(same).transitions == of_file.transitions


def test_signals_are_events_too() -> None:
    first = clipcore.replay(SIMULATION.events)
    again = clipcore.replay(first.signals)
    assert [m.peak for m in again.moments] == [m.peak for m in first.moments]


def test_a_log_of_an_earlier_run_gives_its_moments(talk, tmp_path) -> None:
    run = clipcore.run(talk, out=tmp_path, chat=_markers(tmp_path, 6.0)).wait()
    assert len(run.moments) == 1
    assert clipcore.replay(tmp_path).transitions == run.transitions


def _markers(folder: Path, *at: float) -> Path:
    path = folder / "markers.jsonl"
    path.write_text("".join(json.dumps({"type": "marker", "at": t, "data": {"label": "ace"}}) + "\n" for t in at))
    return path


def test_a_moment_explains_itself() -> None:
    moment = clipcore.replay(SIMULATION.events).moments[0]
    assert sum(e.contribution for e in moment.evidence) == pytest.approx(moment.score, abs=1e-6)
    assert moment.evidence[0].detector in repr(moment)
    assert moment.evidence[0].detector in moment._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        moment.score = 3.0


def test_records_survive_their_wire_form_pickle_and_copy() -> None:
    replayed = clipcore.replay(SIMULATION.events)
    for record in [*replayed.transitions[:5], *replayed.signals[:5], *SIMULATION.labels[:3]]:
        assert type(record).from_json(record.to_json()) == record
        assert pickle.loads(pickle.dumps(record)) == record == copy.deepcopy(record)
    assert pickle.loads(pickle.dumps(replayed.moments)) == replayed.moments


def test_what_cannot_be_read_is_said(tmp_path) -> None:
    with pytest.raises(clipcore.NotFound, match="nosuch.jsonl") as caught:
        clipcore.replay(tmp_path / "nosuch.jsonl")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.context["path"].endswith("nosuch.jsonl")
    assert pickle.loads(pickle.dumps(caught.value)).context == caught.value.context
    bad = tmp_path / "bad.jsonl"
    bad.write_text('not an event\n{"type":"marker","at":3,"data":{}}\n')
    with pytest.warns(clipcore.ReplayWarning, match="line 1"):
        assert len(clipcore.replay(bad).moments) == 1
    bad.write_text("not an event\n")
    with pytest.raises(clipcore.InvalidInput, match="line: 1"):
        clipcore.replay(bad)


def test_one_bad_file_costs_no_other_its_moments(files, tmp_path) -> None:
    kept = clipcore.replay([*files[:2], tmp_path / "nosuch.jsonl"], errors="keep")
    assert [type(file.error) for file in kept.files] == [type(None), type(None), clipcore.NotFound]
    assert kept.transitions == clipcore.replay(files[:2]).transitions


def test_settings_come_from_mappings_and_files(tmp_path) -> None:
    with pytest.raises(clipcore.ConfigError, match="latenes"):
        clipcore.replay(SIMULATION.events, config={"engine": {"latenes": 3}})
    with pytest.raises(clipcore.ConfigError, match="unknown consent"):
        clipcore.replay(SIMULATION.events, consent="everything")
    quiet = {"detectors": {"off": ["chat_burst"]}}
    assert len(clipcore.replay(SIMULATION.events, config=quiet).signals.where(lambda s: s.detector == "chat_burst")) == 0
    written = tmp_path / "clipcore.toml"
    written.write_text(clipcore.config_toml(quiet))
    assert clipcore.replay(SIMULATION.events, config=written) == clipcore.replay(SIMULATION.events, config=quiet)


def test_progress_is_told_on_the_callers_thread_and_may_stop_the_work(files) -> None:
    import threading

    told = []
    clipcore.replay(files, progress=lambda done, total, what: told.append((done, total, what, threading.get_ident())))
    assert [t[:2] for t in told] == [(n, 4) for n in range(1, 5)]
    assert {t[2] for t in told} == {str(f) for f in files} and {t[3] for t in told} == {threading.get_ident()}

    def enough(done: int, total: int, what: str) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        clipcore.replay(files, progress=enough)


@pytest.mark.parametrize("adapter", ["tqdm", "rich"])
def test_progress_bars(files, adapter) -> None:
    pytest.importorskip(adapter)
    with getattr(clipcore.progress, adapter)() as progress:
        assert len(clipcore.replay(files, progress=progress).files) == 4


def test_tables() -> None:
    pandas = pytest.importorskip("pandas")
    moments = clipcore.replay(SIMULATION.events).moments
    frame = moments.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.score) == [m.score for m in moments]
    assert frame.evidence[0][0]["detector"] == moments[0].evidence[0].detector
    assert list(clipcore.Moments().to_pandas().columns) == list(frame.columns)


def test_arrow() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    replayed = clipcore.replay(SIMULATION.events)
    table = pyarrow.table(replayed.moments)
    assert table["score"].to_pylist() == [m.score for m in replayed.moments]
    assert table["evidence"][0].as_py()[0]["contribution"] == replayed.moments[0].evidence[0].contribution
    assert pyarrow.table(replayed.signals).num_rows == len(replayed.signals)
    assert pyarrow.table(clipcore.Clips()).schema.field("asked").type.num_fields == 2
