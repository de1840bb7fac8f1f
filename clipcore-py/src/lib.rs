//! The private extension module under the typed Python package `clipcore`.
use pyo3::prelude::*;

/// The compiled part of `clipcore`; import `clipcore` instead.
#[pymodule]
fn _clipcore(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
