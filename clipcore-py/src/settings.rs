//! Settings: the program's own, from a file, the environment, a mapping from Python and arguments, in that order.

use std::io::Write;
use std::path::{Path, PathBuf};

use clipcore::{Error, Result, StreamId};
use clipcore_cli::cli::Global;
use clipcore_cli::config::{Config, Overrides};
use pyo3::prelude::*;
use serde_json::Value;

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
        let flags = flags.with_weights(self.weights.as_ref());
        let Some(values) = &self.values else { return Config::load(self.file.as_deref(), &flags) };
        let wrong = |e: serde_json::Error| {
            Error::config(format!("the configuration is not as it should be: {e}")).with_hint(
                "its sections and keys are those of the TOML file; see Config in the documentation",
            )
        };
        let mut all = serde_json::to_value(Config::load(self.file.as_deref(), &Overrides::default())?)?;
        merge(&mut all, serde_json::from_str(values).map_err(wrong)?);
        merge(&mut all, serde_json::to_value(&flags)?);
        let config: Config = serde_json::from_value(all).map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// The same as a file, for commands that read one.
    ///
    /// # Errors
    /// As [`config`](Self::config), and where no file can be written.
    pub(crate) fn global(&self) -> Result<(Global, Option<tempfile::NamedTempFile>)> {
        let global =
            |config: Option<&Path>| Global { config: config.map(Path::to_owned), verbose: 0, quiet: true };
        if self.values.is_none() {
            return Ok((global(self.file.as_deref()), None));
        }
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        file.write_all(self.config()?.to_toml()?.as_bytes())?;
        file.flush()?;
        Ok((global(Some(file.path())), Some(file)))
    }
}

/// Lays `over` over `base`, section by section.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(inner) if inner.is_object() && value.is_object() => merge(inner, value),
                    _ => drop(base.insert(key, value)),
                }
            }
        }
        (base, over) => *base = over,
    }
}
