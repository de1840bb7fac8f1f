//! Settings: the program's own, from a file, the environment, a mapping from Python and arguments, in that order.

use std::path::PathBuf;

use clipcore::{Error, Result, StreamId};
use clipcore_cli::cli::Global;
use clipcore_cli::config::{Config, Overrides};
use pyo3::prelude::*;

/// What a call says about settings.
#[derive(Debug, Default, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    /// A TOML file.
    file: Option<PathBuf>,
    /// A JSON object with the sections of such a file.
    values: Option<String>,
    stream: Option<String>,
    out: Option<PathBuf>,
    consent: Option<String>,
    weights: Option<PathBuf>,
}

impl Settings {
    /// The configuration.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub(crate) fn config(&self) -> Result<Config> {
        let flags = Overrides {
            stream: self.stream.as_deref().map(StreamId::new).transpose()?,
            out: self.out.clone(),
            consent: self.consent.as_deref().map(str::parse).transpose()?,
            ..Overrides::default()
        };
        self.global()?.config(&flags.with_weights(self.weights.as_ref()))
    }

    /// The same for commands, which lay their own flags over it.
    ///
    /// # Errors
    /// `Config` where the values are no mapping with sections and keys.
    pub(crate) fn global(&self) -> Result<Global> {
        let values = self.values.as_deref().map(serde_json::from_str).transpose().map_err(|e| {
            Error::config(format!("the configuration is not as it should be: {e}")).with_hint(
                "its sections and keys are those of the TOML file; see Config in the documentation",
            )
        })?;
        Ok(Global { config: self.file.clone(), values, verbose: 0, quiet: true })
    }
}
