"""Which recordings there are, under which licence, and what each may be used for.

`use` is "train" only where the licence (CC0, public domain, CC-BY, MIT, BSD) allows a derived model;
NonCommercial, Sampling+ and unclear material is "test", and so is the evil laugh. `source` names the recording that a clip was
cut from: a source and all its mixes are in one fold. Folds are two, because laughter and applause
have two usable recordings each, cheers and screams one; the recordings that the example stream `gala` was composed
of (laugh2, crowd_cheering, applause) share fold 0.
"""

import os
import re
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from containers import doom_sounds, soundfont, to_rate
from features import RATE, SHARED, decode

AUDIO = SHARED / "media/audio"
#: Unpacked Debian packages fluid-soundfont-gm, fluid-soundfont-gs (MIT) and freedoom (BSD).
SOUNDS = Path(os.environ.get("TAGGER_SOUNDS", "/usr/share"))
CACHE = Path(os.environ.get("TAGGER_CACHE", "/tmp/tagger-cache"))
FREE = re.compile(r"CC0|CC-0|Public Domain|Public domain|CC-BY(?!.NC)|CC-BY 4|Attribution License|MIT|BSD")

#: What the truth says of a recording, beyond its folder.
POSITIVE = {
    "soundfx/laugh2": ("laughter", 0), "fluid/Laugh": ("laughter", 1),
    "ibm_max/crowd_cheering": ("cheer", 0),
    "ibm_max/applause": ("applause", 0), "fluid/Applause": ("applause", 1),
    "fluid/Scream": ("scream", 1),
}
MUSIC = {"arcade_music", "cinematic", "guitar", "jazz_guitar", "piano"}
SPEECH_LINES = [
    "So the other day I was walking down the street when I met an old friend of mine from school.",
    "Welcome back everyone, today we are going to look at the second half of the match and talk about the plan.",
    "I think he should go left here, take the stairs, and wait for the others before the door opens.",
    "Thank you for the donation! Let me read the message. How long have you been watching this channel?",
]


@dataclass
class Clip:
    name: str
    samples: np.ndarray = field(repr=False)
    source: str
    licence: str
    credit: str
    kind: str  # one of the labels, or "esc:<class>", "effect", "game", "noise"
    use: str
    fold: int


def _fold(source: str) -> int:
    return zlib.crc32(source.encode()) & 1


def _make(name, samples, source, licence, credit, kind, fold=None):
    use = "test" if name == "soundfx/laugh1" else "train" if FREE.search(licence) and "NC" not in licence and "Sampling" not in licence else "test"
    if name in POSITIVE:
        kind, fold = POSITIVE[name]
    return Clip(name, samples, source, licence, credit, kind, use, _fold(source) if fold is None else fold)


def _esc10():
    text = (AUDIO / "esc10/README.md").read_text()
    row = re.compile(r"\*\*(\S+?)\.mp3\*\*:\s+clip derived from \[(.*?)\]\((\S+?)\) by \*(.*?)\* \(\[(.*?)\]")
    credits = {m[1]: m for m in row.finditer(text)}
    for path in sorted((AUDIO / "esc10").glob("*/*.ogg")):
        m = credits.get(path.stem)
        licence, credit = (m[5], f"{m[2]} by {m[4]}, {m[3]}") if m else ("unclear", path.stem)
        source = "freesound:" + path.stem.split("-")[1]
        yield _make(f"esc10/{path.stem}", decode(path), source, licence, credit, "esc:" + path.parent.name[6:].lower())


def _ibm():
    text = (AUDIO / "ibm_max/README.md").read_text()
    row = re.compile(r"\[(\S+?)\.\w+\]\((\S+?)\) by \[(.*?)\].*?</span> (.*)")
    names = {"Attribution": "CC-BY", "Creative Commons 0": "CC0", "Creative Commons": "unclear", "Sampling+": "Sampling+"}
    credits = {m[1]: m for m in row.finditer(text)}
    for path in sorted((AUDIO / "ibm_max").glob("*.wav")):
        m = credits.get(path.stem)
        licence = names.get(m[4].strip(), "unclear") if m else "unclear"
        credit = f"{m[1]} by {m[3]}, {m[2]}" if m else path.stem
        kind = "music" if path.stem in MUSIC else "effect"
        source = "freesound:" + m[2].rstrip("/").split("/")[-1] if m else path.stem
        yield _make(f"ibm_max/{path.stem}", decode(path), source, licence, credit, kind)


def _described():
    """Folders with a text of origin and licence beside each file."""
    for path in sorted((AUDIO / "soundfx").glob("*.mp3")):
        text = path.with_suffix(".txt").read_text()
        licence = re.search(r"License-Name:\s+.*\((.*?)\)", text)[1]
        credit = re.search(r"Copyright:\s+(.*)", text)[1] + ", " + re.search(r"Origin:\s+(\S+)", text)[1]
        kind = "music" if path.stem.startswith(("jingle", "fanfare")) else "effect"
        yield _make(f"soundfx/{path.stem}", decode(path), "soundfx:" + path.stem, licence, credit, kind)
    for path in sorted((AUDIO / "librosa").glob("*.ogg")):
        if path.stat().st_size < 100:
            continue
        text = " ".join(path.with_name(path.name.replace(".hq.ogg", ".txt")).read_text().split())
        free = re.search(r"by-nc|BY.NC|Noncommercial", text) is None
        licence = ("CC-BY" if "CC-BY" in text else "Public Domain") if free else "CC-BY-NC"
        kind = "speech" if "LibriSpeech" in text else "effect" if re.search("bird|humpback|pibble", path.name) else "music"
        yield _make("librosa/" + path.name.split(".")[0], decode(path), "librosa:" + path.name, licence, text[:110], kind)
    yield _make("whisper/jfk", decode(AUDIO / "whisper/jfk.flac"), "jfk", "MIT", "J. F. Kennedy, inaugural address (public domain), from openai/whisper", "speech")
    yield _make("concert/concert-crowd", decode(AUDIO / "concert/concert-crowd.mp3"), "concert", "CC0", "concert crowd", "effect")


def _packages():
    sf2 = SOUNDS / "sounds/sf2"
    credit = "Fluid (R3) SoundFont by Frank Wen"
    for name, (samples, rate) in soundfont(sf2 / "FluidR3_GS.sf2").items():
        if len(samples) / rate >= 0.2 and "(R)" not in name:
            yield _make(f"fluid/{name}", to_rate(samples, rate), "fluid:" + name, "MIT", credit, "effect")
    wad = doom_sounds(SOUNDS / "games/doom/freedoom2.wad")
    for name, (samples, rate) in sorted(wad.items()):
        if len(samples) / rate >= 0.2:
            yield _make(f"freedoom/{name}", to_rate(samples, rate), "freedoom:" + name[2:5], "BSD-3-Clause", "Freedoom contributors", "game")


def _spoken():
    folder = CACHE / "speech"
    folder.mkdir(parents=True, exist_ok=True)
    for k, (voice, fold) in enumerate([("slt", 0), ("rms", 1), ("awb", 0), ("kal16", 1)]):
        for i, line in enumerate(SPEECH_LINES):
            path = folder / f"{voice}{i}.wav"
            if not path.exists():
                subprocess.run(["flite", "-voice", voice, "-t", line, "-o", str(path)], check=True)
            yield _make(f"flite/{voice}{i}", decode(path), "flite:" + voice, "MIT (BSD-like)", "Flite, Carnegie Mellon University", "speech", fold)


def all_clips() -> list[Clip]:
    """Every recording, decoded and cached."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "clips.npy"
    if path.exists():
        return list(np.load(path, allow_pickle=True))
    clips = [c for part in (_esc10, _ibm, _described, _packages, _spoken) for c in part()]
    clips = [c for c in clips if len(c.samples) > 0.15 * RATE and np.abs(c.samples).max() > 1e-4]
    np.save(path, np.array(clips, dtype=object), allow_pickle=True)
    return clips


def instruments() -> list[tuple[np.ndarray, int, str]]:
    """Notes of the General MIDI SoundFont, for made-up music: (samples, rate, name)."""
    bank = soundfont(SOUNDS / "sounds/sf2/FluidR3_GM.sf2")
    out = [(s, r, n) for n, (s, r) in bank.items() if 0.3 < len(s) / r < 6 and "(R)" not in n]
    return out[::4]
