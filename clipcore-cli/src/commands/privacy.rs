//! `clipcore privacy`: what is held about people, and taking it out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use clipcore::catalog::Catalog;
use clipcore::privacy::{AuditNote, DataFolder, Erased, Holding, audit, audit_verify};
use clipcore::{StreamId, WallTime};
use serde::Serialize;

use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;
use crate::privacy::now;
use crate::{inputs, output};

/// Arguments of `privacy`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore privacy report clipcore-out               what is held of whom, and until when
  clipcore privacy erase clipcore-out --stream show  everything of a stream
  clipcore privacy erase clipcore-out --user ann     a viewer's words and pseudonyms, in all streams
  clipcore privacy expire clipcore-out               words and keys that are older than [privacy] allows

Stop run or serve first: a folder is only changed while nobody uses it; a server that runs erases on request (DELETE
/v1/streams/ID, DELETE /v1/subjects/PLATFORM/NAME). What sinks took elsewhere stays there. Each change is
noted in DIR/audit.jsonl, which holds no names of viewers.")]
pub struct PrivacyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PrivacyCommand,
}

/// What `privacy` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum PrivacyCommand {
    /// Says what a data folder holds, for how long, and with which consent
    Report {
        /// The folder of run --out or serve --data
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Takes a stream or a viewer out of a data folder
    Erase(EraseArgs),
    /// Takes words and keys out that are older than the configuration allows, and words that were taken back
    Expire {
        /// The folder of run --out or serve --data
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Checks that nobody changed the list of what was done
    Audit {
        /// The folder of run --out or serve --data
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Arguments of `privacy erase`.
#[derive(Debug, Clone, Args)]
pub struct EraseArgs {
    /// The folder of run --out or serve --data
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Everything of this stream
    #[arg(long, value_name = "ID", value_parser = inputs::stream_id, required_unless_present = "user", conflicts_with = "user")]
    pub stream: Option<StreamId>,
    /// The words and pseudonyms of this viewer, named as the platform names them
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The viewer of this platform only, the part of an event's source before its first colon; of all where absent
    #[arg(long, value_name = "NAME", requires = "user")]
    pub platform: Option<String>,
    /// Why, for the list of what was done
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    /// Who asks for it, for the list of what was done; the system's user where absent
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Where the folder is in use or cannot be read or written.
pub fn run(args: &PrivacyArgs, global: &Global) -> Result<Exit> {
    let config = global.config(&Overrides::default())?;
    match &args.command {
        PrivacyCommand::Report { dir, json } => report(&config, dir, *json)?,
        PrivacyCommand::Erase(args) => erase(args)?,
        PrivacyCommand::Expire { dir } => {
            let (keep, keys) = (config.privacy.text_retain, config.privacy.key_retain);
            let erased = DataFolder::open(dir)?.expire(keep, keys, now())?;
            note(dir, &user(), "expire", "old text and keys", "retention", &erased)?;
            output::json_line(&erased)?;
        }
        PrivacyCommand::Audit { dir } => {
            let (entries, last) = audit_verify(&DataFolder::audit_path(dir))?;
            output::text(&format!(
                "{entries} entries, each follows from the one before; the last line's SHA-256 is {last}\n"
            ))?;
        }
    }
    Ok(Exit::Done)
}

fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned())
}

fn note(dir: &Path, who: &str, what: &str, subject: &str, why: &str, erased: &Erased) -> Result<()> {
    let outcome = serde_json::to_string(erased)?;
    let note = AuditNote { who, what, subject, why, outcome: &outcome };
    Ok(audit(&DataFolder::audit_path(dir), &note, now())?)
}

fn erase(args: &EraseArgs) -> Result<()> {
    let folder = DataFolder::open(&args.dir)?;
    let (subject, erased) = match (&args.stream, &args.user) {
        (Some(stream), _) => {
            let mut erased = folder.erase_stream(stream)?;
            erased.lines += Catalog::erase(&args.dir, stream)?;
            (format!("stream {stream}"), erased)
        }
        (None, user) => {
            let user = user.as_deref().unwrap_or_default();
            ("a viewer".to_owned(), folder.erase_user(args.platform.as_deref(), user)?)
        }
    };
    note(&args.dir, &args.by.clone().unwrap_or_else(user), "erase", &subject, &args.why, &erased)?;
    Ok(output::json_line(&erased)?)
}

/// What is kept where, and until when.
#[derive(Debug, Serialize)]
struct Report {
    /// Consent of streams that do not say themselves.
    consent: String,
    /// What goes when.
    kept: Vec<Kept>,
    /// Where moments and clips are sent.
    sinks: Vec<String>,
    streams: BTreeMap<String, Stream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_entries: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Kept {
    what: &'static str,
    place: &'static str,
    until: String,
}

#[derive(Debug, Serialize)]
struct Stream {
    #[serde(flatten)]
    held: Holding,
    /// When the oldest words go, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_goes: Option<WallTime>,
    /// What the stream's own settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<String>,
}

fn span(seconds: f64, what: &str) -> String {
    match seconds {
        0.0 => "erased by hand".to_owned(),
        s if s >= 2.0 * 86_400.0 => format!("{:.0} days {what}", s / 86_400.0),
        s => format!("{:.1} hours {what}", s / 3600.0),
    }
}

fn report(config: &Config, dir: &Path, json: bool) -> Result<()> {
    let held = DataFolder::open(dir)?.holdings()?;
    let (text, keys) = (config.privacy.text_retain, config.privacy.key_retain);
    let streams = held.into_iter().map(|(name, held)| {
        let micros = i64::try_from(text.as_micros()).unwrap_or(i64::MAX);
        let text_goes =
            held.oldest_text.filter(|_| !text.is_zero()).map(|oldest| oldest.offset_micros(micros));
        let settings = std::fs::read(dir.join("streams").join(format!("{name}.json"))).ok();
        let settings = settings.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let consent = settings.and_then(|s| s["settings"]["consent"].as_str().map(str::to_owned));
        (name, Stream { held, text_goes, consent })
    });
    let kept = |what, place, until| Kept { what, place, until };
    let report = Report {
        consent: config.consent.to_string(),
        kept: vec![
            kept(
                "words of chat",
                "log/, inbox/",
                span(text.as_secs_f64(), "after they were said, and up to an eighth more"),
            ),
            kept(
                "keys of pseudonyms",
                "keys/",
                span(keys.as_secs_f64(), "after their day; then nobody can be traced"),
            ),
            kept(
                "events, signals, moments",
                "log/",
                span(config.pipeline.log_retain.as_secs_f64(), "of stream time"),
            ),
            kept(
                "sound and pictures",
                "recordings/",
                span(config.recorder.retain.as_secs_f64(), "of stream time"),
            ),
            kept(
                "moments, clips and their files",
                "moments.jsonl, clips.jsonl, clips/, catalog.db",
                span(0.0, ""),
            ),
            kept("frames, faces, embeddings", "nowhere", "never written".to_owned()),
        ],
        sinks: config.sinks.destinations(),
        streams: streams.collect(),
        audit_entries: audit_verify(&DataFolder::audit_path(dir)).ok().map(|(count, _)| count),
    };
    if json {
        return Ok(output::json_line(&report)?);
    }
    let mut text = format!("consent unless a stream says otherwise: {}\n\nkept:\n", report.consent);
    for Kept { what, place, until } in &report.kept {
        text.push_str(&format!("  {what:32}{place:48}{until}\n"));
    }
    text.push_str(&format!(
        "\nsent to: {}\n\nheld:\n",
        if report.sinks.is_empty() { "nobody".to_owned() } else { report.sinks.join(", ") }
    ));
    for (name, Stream { held, text_goes, consent }) in &report.streams {
        text.push_str(&format!(
            "  {name}: {} records, {} messages ({} with words{}), {} clips, {} bytes recorded, {} keys; consent {}\n",
            held.records,
            held.messages,
            held.with_text,
            text_goes.map_or(String::new(), |at| format!(", the oldest go from {at} on")),
            held.clips,
            held.recorded_bytes,
            held.keys,
            consent.as_deref().unwrap_or("as above"),
        ));
    }
    match report.audit_entries {
        Some(count) => text.push_str(&format!("\naudit.jsonl: {count} entries, whole\n")),
        None => text.push_str("\naudit.jsonl: none, or changed (clipcore privacy audit says which)\n"),
    }
    Ok(output::text(&text)?)
}
