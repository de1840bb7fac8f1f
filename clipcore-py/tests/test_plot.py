"""Plots and what notebooks show."""

from __future__ import annotations

import base64

import pytest

import clipcore

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def simulation() -> clipcore.Simulation:
    return clipcore.simulate(seed=3, hours=1.0)


def test_a_timeline_shows_signals_threshold_moments_and_labels(simulation, tmp_path) -> None:
    from clipcore import plot

    replayed = clipcore.replay(simulation.events)
    figure = plot.timeline(replayed, labels=simulation.labels, thresholds={"chat_burst burst": 3.2})
    lane, evidence, last = figure.axes
    assert lane.get_ylabel() == "chat_burst\nburst"
    bands = len(replayed.moments)
    assert len(lane.patches) == len(evidence.patches) == bands > 5
    assert len(last.collections) == bands + len(simulation.labels)
    odds = clipcore.log_odds(replayed.signals)
    assert list(evidence.lines[0].get_ydata()) == pytest.approx(list(odds.value))
    assert list(evidence.lines[1].get_ydata()) == [odds.enter, odds.enter]
    assert lane.lines[0].get_ydata()[0] == 3.2
    figure.savefig(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 5000


def test_without_labels_there_is_no_row_for_them(simulation) -> None:
    from clipcore import plot

    last = plot.timeline(clipcore.replay(simulation.events)).axes[-1]
    assert [text.get_text() for text in last.get_yticklabels()] == ["moments"]


def test_moments_open_where_the_evidence_exceeds_the_threshold(simulation) -> None:
    replayed = clipcore.replay(simulation.events)
    odds = clipcore.log_odds(replayed.signals)
    for moment in replayed.moments:
        near = abs(odds.at - moment.peak) <= 1.0
        assert odds.value[near].max() > odds.enter


def test_which_stream_must_be_clear(simulation) -> None:
    from clipcore import plot

    other = clipcore.simulate(seed=4, hours=0.5, stream="other")
    both = clipcore.replay([*simulation.events, *other.events])
    with pytest.raises(clipcore.InvalidInput, match="stream="):
        plot.timeline(both)
    assert "other" in plot.timeline(both, stream="other").axes[-1].get_xlabel()


def test_clips_are_shown_as_pictures_and_play_in_a_notebook(talk, tmp_path) -> None:
    from clipcore import plot

    report = clipcore.run(talk, chat=[{"type": "marker", "at": 6.0, "data": {"label": "<ace>"}}], out=tmp_path).wait()
    (clip,) = report.clips
    figure = plot.clips(report)
    assert figure.axes[0].images[0].get_array().shape[2] in (3, 4)
    html = clip._repr_html_()
    assert "<video controls" in html and base64.b64encode(clip.file.read_bytes()).decode() in html
    shown = report.moments[0]._repr_html_()
    assert "&lt;ace&gt;" in shown and "<ace>" not in shown and "+8.00" in shown
    with pytest.raises(clipcore.InvalidInput, match="no clip"):
        plot.clips([])
    assert report._repr_html_().count("<tr>") == 2
    table = report.moments._repr_html_()
    assert "&lt;ace&gt; +8.00" in table and "<th>trace</th>" not in table, "what is empty is left out"
    assert f"{clip.asked.start:.2f}–{clip.asked.end:.2f}" in report.clips._repr_html_()
