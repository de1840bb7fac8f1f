//! A running pipeline, as Python steers and reads it.

mod assembly;
mod detection;
mod outbox;
mod python;
mod sinks;
mod sound;
mod source;

pub(crate) use detection::detect;
pub(crate) use python::PyRun;
pub(crate) use sound::detect_sound;
pub(crate) use source::PyFeed;
