"""Entry points: what an installed package brings is there by its name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import clipcore

CODE = """
import clipcore
from clipcore.events import Marker

TAKEN = []


@clipcore.detector("airhorn", labels=["horn"], input=Marker)
def horn(event):
    return 4.0


def feed():
    yield {"type": "marker", "at": 0.5, "data": {"label": "ace"}}
    yield {"type": "marker", "at": 1.5, "data": {"label": "ace"}}


def take(item):
    TAKEN.append(item)
"""

POINTS = """[clipcore.detectors]
airhorn = airhorn_plugin:horn
[clipcore.sources]
feed = airhorn_plugin:feed
[clipcore.sinks]
take = airhorn_plugin:take
"""

INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: airhorn-plugin\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": POINTS,
}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a package with one plug-in of each sort, with pip."""
    files = {"airhorn_plugin.py": CODE, **{f"airhorn_plugin-1.0.dist-info/{name}": text for name, text in INFO.items()}}
    record = "airhorn_plugin-1.0.dist-info/RECORD"
    files[record] = "".join(f"{name},,\n" for name in (*files, record))
    wheel = tmp_path / "airhorn_plugin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "airhorn_plugin", raising=False)


def test_a_package_brings_a_detector_a_source_and_a_sink(plugin) -> None:
    groups = {"detectors": "airhorn", "sources": "feed", "sinks": "take"}
    for group, name in groups.items():
        assert name in clipcore.plugins.available(group)
    assert "airhorn_plugin" not in sys.modules, "looking is not importing"
    others: list[object] = []
    more = [others.append, lambda item: others.append(item)]
    report = clipcore.run(events="feed", stream="s", detectors=["airhorn"], sinks=["take", *more], signals=True).wait()
    import airhorn_plugin

    assert [(s.label, s.at) for s in report.signals if s.detector == "airhorn"] == [("horn", 0.5), ("horn", 1.5)]
    assert [m.label for m in report.moments] == ["ace"]
    assert airhorn_plugin.TAKEN == list(report.transitions) and len(others) == 2 * len(airhorn_plugin.TAKEN)


def test_a_detector_is_found_in_a_replay_too(plugin) -> None:
    events = [{"type": "marker", "stream": "s", "at": 100.0 * n, "data": {}} for n in range(1, 4)]
    found = clipcore.replay(events, detectors=["airhorn"]).signals
    assert [s.label for s in found if s.detector == "airhorn"] == ["horn"] * 3


@pytest.mark.parametrize(
    ("group", "call"),
    [
        ("detector", lambda: clipcore.replay([], detectors=["foghorn"])),
        ("source", lambda: clipcore.run(events="foghorn", stream="s")),
        ("sink", lambda: clipcore.run(events=iter(()), stream="s", sinks=["foghorn"])),
    ],
)
def test_what_is_not_installed_is_said_with_what_is(plugin, group, call) -> None:
    installed = {"detector": "airhorn", "source": "feed", "sink": "take"}[group]
    with pytest.raises(clipcore.NotFound, match=f"no installed package has {group} 'foghorn'.*installed are: {installed}"):
        call()
