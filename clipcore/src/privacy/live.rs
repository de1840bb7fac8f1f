//! Erasure while the process runs that keeps the data.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Pseudonymizer;
use super::data::{Erased, delete_letters, delete_media, is_of};
use super::scrub::{Person, Pseudonyms, Scrub, scrub, scrub_state};
use crate::durable::blocking;
use crate::ids::{hex, random};
use crate::log::{RewriteRecord, RewriteState};
use crate::sink::ClipSink;
use crate::{Result, StreamId};

/// What a running process keeps of its streams beside its logs: the clips and recordings of a folder, and what its sinks keep.
#[derive(Clone)]
pub struct LiveFolder {
    dir: PathBuf,
    sinks: Vec<Arc<dyn ClipSink>>,
}

impl std::fmt::Debug for LiveFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveFolder").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl LiveFolder {
    /// The folder of `run --out` or `serve --data`, and the sinks that this process delivers to.
    pub fn new(dir: impl Into<PathBuf>, sinks: Vec<Arc<dyn ClipSink>>) -> Self {
        Self { dir: dir.into(), sinks }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The sinks.
    pub fn sinks(&self) -> &[Arc<dyn ClipSink>] {
        &self.sinks
    }

    /// Deletes what is kept of a stream. Nobody may be recording or cutting it.
    ///
    /// # Errors
    /// What a sink says, `Io` or `DiskFull`; doing it again goes on.
    pub(crate) async fn erase_stream(&self, stream: &StreamId) -> Result<Erased> {
        let (dir, of) = (self.dir.clone(), stream.clone());
        let open: Vec<String> = self.sinks.iter().map(|sink| sink.name().to_owned()).collect();
        // The files first: it is the lines that name them.
        let work = move || Ok((delete_media(&dir, &of)?, delete_letters(&dir, &of, &open)?));
        let (files, lines) = blocking(work).await?;
        let mut erased = Erased { files, lines, ..Erased::default() };
        for sink in &self.sinks {
            erased.lines += sink.erase(stream).await.map_err(|e| e.with_context("sink", sink.name()))?;
        }
        Ok(erased)
    }
}

/// What takes a stream out of a log.
pub(crate) fn rewrites_of_stream(stream: &StreamId) -> (RewriteRecord, RewriteState) {
    let (of, consumers) = (stream.clone(), stream.clone());
    let records = move |json: &[u8]| {
        // Most records are of other streams.
        memchr::memmem::find(json, of.as_str().as_bytes())?;
        let record = serde_json::from_slice::<Value>(json).ok()?;
        scrub(&record, &Scrub::Stream(&of)).map(|gone| gone.to_string())
    };
    let states = move |consumer: &str, state: &Value| match is_of(consumer, &consumers) {
        true => Some(None),
        false => scrub_state(state, &Scrub::Stream(&consumers)).map(Some),
    };
    (Arc::new(records), Arc::new(states))
}

/// A viewer who is to be taken out.
#[derive(Debug)]
pub(crate) struct Viewer {
    platform: String,
    name: String,
    pseudonyms: HashSet<String>,
    /// What takes the place of their name.
    stand_in: String,
}

impl Viewer {
    /// Somebody whom `platform`, the part of an event's source before its first `:`, calls so.
    ///
    /// # Errors
    /// Where keys of pseudonyms cannot be read, or the operating system gives no random bytes.
    pub(crate) fn new(platform: &str, name: &str, keys: Option<&Pseudonymizer>) -> Result<Self> {
        let keys = keys.map_or(Ok(Vec::new()), Pseudonymizer::all)?;
        Ok(Self {
            platform: platform.to_owned(),
            name: name.to_owned(),
            pseudonyms: keys.iter().map(|key| key.pseudonym(platform, name)).collect(),
            stand_in: hex(&random::<8>()?),
        })
    }

    fn person(&self) -> Person<'_> {
        let Self { platform, name, pseudonyms, stand_in } = self;
        Person { platform: Some(platform), name, pseudonyms: Pseudonyms::These(pseudonyms), stand_in }
    }
}

/// What takes a viewer out of a log. `found` is told the stream of each record that is theirs, and says whether it is to be changed.
pub(crate) fn rewrites_of_viewer(
    viewer: &Arc<Viewer>,
    found: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (RewriteRecord, RewriteState) {
    let (one, other) = (viewer.clone(), viewer.clone());
    let records = move |json: &[u8]| {
        // Most records name nobody.
        if !["\"user\"", "\"by\""].iter().any(|key| memchr::memmem::find(json, key.as_bytes()).is_some()) {
            return None;
        }
        let record = serde_json::from_slice::<Value>(json).ok()?;
        let gone = scrub(&record, &Scrub::User(&one.person()))?;
        let stream = ["subject", "stream"].iter().find_map(|key| record[*key].as_str());
        found(stream.unwrap_or_default()).then(|| gone.to_string())
    };
    let states = move |_: &str, state: &Value| scrub_state(state, &Scrub::User(&other.person())).map(Some);
    (Arc::new(records), Arc::new(states))
}
