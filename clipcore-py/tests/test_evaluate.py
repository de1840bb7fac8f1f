"""Figures are those of the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import clipcore


@pytest.fixture(scope="module")
def streams(tmp_path_factory) -> tuple[list[Path], clipcore.Labels]:
    folder = tmp_path_factory.mktemp("streams")
    made = [clipcore.simulate(seed=n, hours=0.35, stream=f"s{n}") for n in range(4)]
    return [s.write(folder) for s in made], clipcore.Labels(label for s in made for label in s.labels)


def test_the_figures_are_those_of_the_program(streams, program, tmp_path) -> None:
    files, labels = streams
    (tmp_path / "labels.csv").write_text(labels.to_csv())
    (tmp_path / "moments.jsonl").write_text(program("replay", *files))
    args = ["eval", "--json", "--truth", tmp_path / "labels.csv", tmp_path / "moments.jsonl", "--events", *files]
    told = json.loads(program(*args))["moments"]
    report = clipcore.evaluate(clipcore.replay(files), labels)
    assert report.hits > 3
    assert report.to_dict() == told
    of_files = clipcore.evaluate(tmp_path / "moments.jsonl", tmp_path / "labels.csv", events=files)
    assert of_files == report


def test_moments_in_memory_are_scored_with_durations() -> None:
    simulation = clipcore.simulate(seed=5, hours=1.0)
    replayed = clipcore.replay(simulation.events)
    report = clipcore.evaluate(replayed.moments, simulation.labels, durations={"sim": 3600.0})
    assert report.hours == pytest.approx(1.0)
    assert report.detections == len(replayed.moments)
    false = report.detections - report.hits
    assert report.false_alarms_per_hour.value == pytest.approx(false)
    assert "F1" in repr(report) and f"{report.hits} hits" in report._repr_html_()


def test_labels_survive_their_csv(streams) -> None:
    _, labels = streams
    read = clipcore.read_labels(labels.to_csv().encode())
    assert [(r.stream, r.kind) for r in read] == [(a.stream, a.kind) for a in labels]
    with pytest.raises(clipcore.InvalidInput, match="line: 2"):
        clipcore.read_labels(b"stream,start,end\ns1,soon,5\n")


def test_tuned_weights_are_those_of_the_program(streams, program, tmp_path) -> None:
    files, labels = streams
    (tmp_path / "labels.csv").write_text(labels.to_csv())
    args = ["tune", "--json", "--folds", "2", "--truth", tmp_path / "labels.csv", "-o", tmp_path / "w.toml", *files]
    told = json.loads(program(*args))
    tuning = clipcore.tune(files, labels, folds=2)
    assert {name: report.to_dict() for name, report in tuning.rows.items()} == told["rows"]
    assert tuning.weights.toml == (tmp_path / "w.toml").read_text()
    assert set(tuning.weights.fitted_to) >= {"s0", "s1", "s2", "s3"}
    saved = tuning.weights.save(tmp_path / "mine.toml")
    other = clipcore.simulate(seed=11, hours=0.7, stream="other")
    with_weights = clipcore.replay(other.events, weights=saved)
    assert with_weights.transitions != clipcore.replay(other.events).transitions


def test_a_simulation_follows_from_its_seed() -> None:
    assert clipcore.simulate(seed=2, hours=0.1).lines == clipcore.simulate(seed=2, hours=0.1).lines
    assert clipcore.simulate(seed=2, hours=0.1).lines != clipcore.simulate(seed=3, hours=0.1).lines
    with pytest.raises(clipcore.ConfigError, match="rate"):
        clipcore.simulate(scenario={"chat": {"rate": -1.0}})
