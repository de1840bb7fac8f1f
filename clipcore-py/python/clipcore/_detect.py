"""Sound and pictures in, signals out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clipcore import _clipcore, _inputs
from clipcore._detector import Factory, specs
from clipcore._inputs import Media
from clipcore._model import Model
from clipcore._records import Signal
from clipcore._replay import Failure
from clipcore._settings import Config, Consent, settings
from clipcore._tables import Signals
from clipcore.progress import Progress


@dataclass(frozen=True, repr=False)
class Detection:
    """What detectors found in an input, before fusion."""

    signals: Signals
    failures: tuple[Failure, ...]
    notices: tuple[str, ...]

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} detectors failed" if self.failures else ""
        return f"Detection({len(self.signals)} signals{failed})"


def detect(
    input: Media,
    *,
    rate: int | None = None,
    fps: float | None = None,
    stream: str | None = None,
    consent: Consent = None,
    config: Config = None,
    detectors: Iterable[Factory | str] = (),
    models: Iterable[Model] = (),
    progress: Progress | None = None,
) -> Detection:
    """Shows sound and pictures to detectors, and gives what they found; nothing is decided and nothing is kept.

    Sound in an array is listened to as it is: no ffmpeg, nothing decoded or encoded. For detectors of events, see [`replay`][clipcore.replay].
    Arguments are those of [`run`][clipcore.run]; ``progress`` is called as ``progress(seconds, 0, what)``.
    """
    asked = settings(config, consent=consent, stream=stream)
    extra, asks = specs(detectors), list(models)
    if (sound := _inputs.sound(input, rate)) is not None:
        samples, channels = sound
        found, notices, failed = _clipcore.detect_sound(asked, samples, rate or 0, channels, extra, asks, progress)
    else:
        prepared = _inputs.media(input, rate=rate, fps=fps)
        found, notices, failed = _clipcore.detect(asked, prepared.name, extra, asks, progress)
    failures = tuple(Failure(*parts) for parts in failed)
    for failure in failures:
        failure.warn()
    return Detection(Signals(Signal.from_json(line) for line in found), failures, tuple(notices))
