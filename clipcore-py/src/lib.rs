//! The private extension module under the typed Python package `clipcore`.

mod audio_model;
mod commands;
mod conformance;
mod detached;
mod detector;
mod error;
mod gate;
mod model;
mod replay;
mod run;
mod settings;
mod tensors;

use pyo3::prelude::*;

/// The compiled part of `clipcore`; import `clipcore` instead.
#[pymodule]
mod _clipcore {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::audio_model::PyAudioModel;
    #[pymodule_export]
    use crate::commands::{command, log_odds, main, read_labels, settings, simulate};
    #[pymodule_export]
    use crate::conformance::check_detector;
    #[pymodule_export]
    use crate::detector::{PyAudio16k, PyAudioWindow, PyEvent, PyOutput, PyVideoFrame};
    #[pymodule_export]
    use crate::gate::close;
    #[pymodule_export]
    use crate::replay::replay;
    #[pymodule_export]
    use crate::run::{PyFeed, PyRun, detect, detect_sound};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
