"""clipcore turns a live stream into clips, seconds after the moment happens.

Replay recorded streams and measure (`replay`, `evaluate`, `tune`, `simulate`), let your own model decide what a moment is
(`Detector`, `detector`, `Model`), and run pipelines (`run`).
"""

from clipcore import conformance, events, plugins, progress
from clipcore._clipcore import Audio16k, AudioWindow, Event, Output, VideoFrame, __version__
from clipcore._detect import Detection, detect
from clipcore._detector import Detector, detector
from clipcore._errors import (
    Cancelled,
    ConfigError,
    Conflict,
    ConsentRequired,
    Corrupt,
    DetectorWarning,
    DiskFull,
    Error,
    InputOutputError,
    InternalError,
    InvalidInput,
    MediaError,
    NotFound,
    ReplayWarning,
    Timeout,
    Unavailable,
    Unsupported,
)
from clipcore._evaluate import Estimate, Report, StreamReport, Tuning, Weights, evaluate, read_labels, tune
from clipcore._fusion import LogOdds, log_odds
from clipcore._model import AudioModel, Model
from clipcore._records import Clip, Evidence, Label, Moment, Signal, Span
from clipcore._replay import Failure, FileReport, Replay, replay
from clipcore._run import Run, RunReport, run
from clipcore._settings import config_toml
from clipcore._simulate import Simulation, simulate
from clipcore._tables import Clips, Labels, Moments, Signals

__all__ = [
    "Audio16k",
    "AudioModel",
    "AudioWindow",
    "Cancelled",
    "Clip",
    "Clips",
    "ConfigError",
    "Conflict",
    "ConsentRequired",
    "Corrupt",
    "Detection",
    "Detector",
    "DetectorWarning",
    "DiskFull",
    "Error",
    "Estimate",
    "Event",
    "Evidence",
    "Failure",
    "FileReport",
    "InputOutputError",
    "InternalError",
    "InvalidInput",
    "Label",
    "Labels",
    "LogOdds",
    "MediaError",
    "Model",
    "Moment",
    "Moments",
    "NotFound",
    "Output",
    "Replay",
    "ReplayWarning",
    "Report",
    "Run",
    "RunReport",
    "Signal",
    "Signals",
    "Simulation",
    "Span",
    "StreamReport",
    "Timeout",
    "Tuning",
    "Unavailable",
    "Unsupported",
    "VideoFrame",
    "Weights",
    "__version__",
    "conformance",
    "config_toml",
    "detect",
    "detector",
    "evaluate",
    "events",
    "log_odds",
    "plugins",
    "progress",
    "read_labels",
    "replay",
    "run",
    "simulate",
    "tune",
]
