"""Every snippet of the README and of the documentation runs: a page is one program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import skip

import clipcore

FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """The pages, from the folder that CLIPCORE_DOCS names."""
    folder = Path(os.environ.get("CLIPCORE_DOCS", "nowhere"))
    return sorted(folder.rglob("*.md"))


@pytest.fixture(scope="module")
def workplace(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the snippets name: a video, its chat, recordings and labels."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "talk.mp4").write_bytes(talk.read_bytes())
    (folder / "chat.jsonl").write_text('{"type":"marker","at":6.0,"data":{"label":"ace"}}\n')
    (folder / "streams").mkdir()
    made = [clipcore.simulate(seed=n, hours=0.2, stream=f"s{n}") for n in range(4)]
    for simulation in made:
        simulation.write(folder / "streams")
    labels = clipcore.Labels(label for simulation in made for label in simulation.labels)
    (folder / "labels.csv").write_text(labels.to_csv())
    return folder


def test_there_are_pages() -> None:
    if not pages():
        skip("documentation", "CLIPCORE_DOCS names no folder")
    names = {page.name for page in pages()}
    assert {"README.md", "quickstart.md", "detector.md"} <= names
    languages = {language for page in pages() for language, _ in FENCE.findall(page.read_text())}
    assert languages <= {"python", "sh", "json", "toml", "text"}, "a snippet that nobody runs"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_its_snippets_run(page: Path, workplace: Path) -> None:
    snippets = [text for language, text in FENCE.findall(page.read_text()) if language == "python"]
    if not snippets:
        pytest.skip("no snippets")
    program = workplace / f"{page.stem}_snippets.py"
    program.write_text("\n".join(snippets), encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(program)]
    done = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
