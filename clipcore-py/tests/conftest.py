"""What the tests share. They run against the installed wheel, from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def skip(what: str, why: str) -> None:
    """Skips a test, and says so where the repository's own tests do."""
    said = os.environ.get("CLIPCORE_SKIPS")
    if said:
        with open(said, "a", encoding="utf-8") as lines:
            lines.write(f"SKIPPED: {what}: {why}\n")
    pytest.skip(f"{what}: {why}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test media and models beside the repository."""
    found = os.environ.get("CLIPCORE_SHARED")
    if not found or not Path(found).is_dir():
        skip("shared", "CLIPCORE_SHARED names no folder of test media")
    return Path(str(found))


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Runs the program ``clipcore`` that was built from the same sources; gives what it prints."""
    path = os.environ.get("CLIPCORE_PROGRAM")
    if not path:
        skip("the program", "CLIPCORE_PROGRAM names no clipcore to compare with")

    def run(*args: str | os.PathLike[str]) -> str:
        done = subprocess.run([str(path), *map(os.fspath, args)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The program ffmpeg."""
    from clipcore import _tools

    _tools.prepare()
    found = os.environ.get("CLIPCORE_FFMPEG") or shutil.which("ffmpeg")
    if not found:
        skip("ffmpeg", "there is none on the path")
    return str(found)


@pytest.fixture(scope="session")
def talk(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of picture and sound: a quiet tone that is loud from second 5 to 8."""
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    tone = "sine=frequency=440:duration=12:sample_rate=48000,volume='if(between(t,5,8),0.9,0.02)':eval=frame"
    command = [ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=10:duration=12"]
    command += ["-f", "lavfi", "-i", tone, "-c:v", "libx264", "-g", "20", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path
