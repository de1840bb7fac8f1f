//! Detectors written in Python, behind the library's own trait.

mod event;
mod faults;
mod media;
mod output;
mod python;
mod spec;
mod windows;

pub(crate) use event::PyEvent;
pub(crate) use faults::{Failure, Fault, Faults};
pub(crate) use media::{PyAudio16k, PyAudioWindow, PyVideoFrame, local};
pub(crate) use output::PyOutput;
pub(crate) use python::PyDetector;
pub(crate) use spec::{Spec, specs};
