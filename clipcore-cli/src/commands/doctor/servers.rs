//! Whether the servers answer that the configuration names.

use anyhow::Result;

use super::{Check, Verdict};
use crate::sinks::SinksConfig;

/// One check for each configured sink.
///
/// # Errors
/// For a wrong configuration.
pub(super) fn checks(config: &SinksConfig) -> Result<Vec<Check>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut checks = Vec::new();
        for sink in config.build()? {
            let name = format!("sink {}", sink.name());
            checks.push(match sink.check().await {
                Ok(()) => Check::new(&name, Verdict::Ok, "its server answers", ""),
                Err(e) => {
                    let advice = e.hint().unwrap_or("see the section sinks of the configuration").to_owned();
                    let place = e.context().iter().find(|(key, _)| *key == "server");
                    let place = place.map_or(String::new(), |(_, server)| format!(" ({server})"));
                    Check::new(&name, Verdict::Missing, format!("{}{place}", e.message()), advice)
                }
            });
        }
        Ok(checks)
    })
}
