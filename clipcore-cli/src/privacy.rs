//! How data about people is kept, and for how long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clipcore::clock::{SystemTimeSource, TimeSource};
use clipcore::log::{EventLog, FileLog};
use clipcore::privacy::{
    AuditNote, DataFolder, Expiry, ExpiryConfig, KeyRing, Pseudonymizer, Rotation, SharedExpiry, audit,
};
use clipcore::{Consent, ErrorKind, Result, WallTime, config};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// How data about people is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// How long one key of pseudonyms is used: for a day of a stream, or for the whole stream.
    pub pseudonyms: Rotation,
    /// Keys older than this are destroyed, and what was written under them is anonymous; in seconds; 0 keeps them.
    #[serde(with = "config::secs")]
    pub key_retain: Duration,
    /// Words of chat older than this are taken out of the log, within an eighth of it: while `run` or `serve` runs, when it
    /// starts, and with `privacy expire`; in seconds; 0 keeps them.
    #[serde(with = "config::secs")]
    pub text_retain: Duration,
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self {
            pseudonyms: Rotation::Day,
            key_retain: Duration::from_secs(30 * 86_400),
            text_retain: Duration::from_secs(86_400),
        }
    }
}

/// What takes out what becomes too old while these logs of the folder are used.
pub(crate) fn expiry(config: &PrivacyConfig, dir: &Path, logs: Vec<Arc<FileLog>>) -> Expiry {
    let spans = ExpiryConfig { text_retain: config.text_retain, key_retain: config.key_retain };
    Expiry::new(dir, logs, spans, Arc::new(SystemTimeSource::new()))
}

/// The same of logs that processes share, and of this one's own keys.
pub(crate) fn shared_expiry(
    config: &Config,
    logs: Vec<Arc<dyn EventLog>>,
    turn: Arc<dyn EventLog>,
) -> SharedExpiry {
    let spans =
        ExpiryConfig { text_retain: config.privacy.text_retain, key_retain: config.privacy.key_retain };
    SharedExpiry::new(&config.out, logs, turn, spans, Arc::new(SystemTimeSource::new()))
}

/// Civil time now.
pub fn now() -> WallTime {
    SystemTimeSource::new().wall()
}

/// What a run does first: what is too old goes, and the list of what was done says with which consent it runs.
///
/// # Errors
/// `Conflict` where another process uses the folder; what erasing and the audit list say.
pub fn begin(
    config: &PrivacyConfig,
    dir: &Path,
    what: &str,
    subject: &str,
    consent: Consent,
) -> Result<Pseudonymizer> {
    let now = now();
    match DataFolder::open(dir) {
        Ok(folder) => {
            let erased = folder.expire(config.text_retain, config.key_retain, now)?;
            if erased != clipcore::privacy::Erased::default() {
                let outcome = serde_json::to_string(&erased)?;
                let note = AuditNote {
                    who: "clipcore",
                    what: "expire",
                    subject: "old text and keys",
                    why: "retention",
                    outcome: &outcome,
                };
                audit(&DataFolder::audit_path(dir), &note, now)?;
            }
        }
        // A new folder.
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let outcome = format!("consent {consent}");
    let note = AuditNote { who: "clipcore", what, subject, why: "", outcome: &outcome };
    audit(&DataFolder::audit_path(dir), &note, now)?;
    Ok(Pseudonymizer::rotating(KeyRing::new(DataFolder::keys_dir(dir), config.pseudonyms)))
}
