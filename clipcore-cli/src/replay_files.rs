//! Many recordings replayed at once, told in the order in which they were named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use clipcore::engine::Engine;
use clipcore::event::Kinds;
use clipcore::log::FileLogReader;
use clipcore::replay::{Found, Replay, ReplayReport};
use clipcore::{Consent, Error, ErrorKind, Result, StreamId};
use rayon::prelude::*;

use crate::input;

/// What all files of a replay have in common.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// The event kinds to read.
    pub kinds: &'a Kinds,
    /// What may be processed of the events.
    pub consent: Consent,
    /// The stream that a file's events belong to where they name none.
    pub stream_of: &'a (dyn Fn(&Path) -> Option<StreamId> + Sync),
    /// How many files are replayed at once; 0 for as many as there are cores.
    pub threads: usize,
    /// Makes the engine of a stream.
    pub engine: &'a (dyn Fn(&StreamId) -> Result<Engine> + Sync),
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("consent", &self.consent).finish_non_exhaustive()
    }
}

/// What became of a file.
#[derive(Debug)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// What was read of it.
    pub report: ReplayReport,
    /// Why reading ended early, where it did; what was read before was replayed.
    pub error: Option<Error>,
}

/// What became of the log of an earlier run.
#[derive(Debug)]
pub struct FolderReport {
    /// What was read of it.
    pub report: FileReport,
    /// Whether its beginning is gone, so that moments near it may differ from those of the run.
    pub trimmed: bool,
}

impl Files<'_> {
    /// Replays the log of an earlier run, whose own clock records move time, from the run's folder or the log's own.
    ///
    /// # Errors
    /// Where the log cannot be read, or `found` fails.
    pub fn folder<E: From<Error>>(
        &self,
        folder: &Path,
        found: &mut dyn FnMut(Found) -> Result<(), E>,
    ) -> Result<FolderReport, E> {
        let log = folder.join("log");
        let reader = FileLogReader::open(if log.is_dir() { &log } else { folder }, self.kinds.clone())?;
        let trimmed = reader.is_trimmed();
        let mut replay = Replay::new(Box::new(self.engine)).with_consent(self.consent);
        let mut failed = None;
        for record in reader {
            let (_, _, record) = record?;
            replay.record(record, &mut |f| failed = failed.take().or(found(f).err()))?;
            if failed.is_some() {
                break;
            }
        }
        let report = replay.finish(&mut |f| failed = failed.take().or(found(f).err()))?;
        let report = FileReport { path: folder.to_owned(), report, error: None };
        failed.map_or(Ok(FolderReport { report, trimmed }), Err)
    }

    /// Replays files on all cores (gzip and zstd are unpacked) and hands what each found to `found`, file by file in
    /// the order of `paths` however many cores there are. `done` hears of each file that is finished, in any order.
    ///
    /// A file that cannot be read does not stop the others: its report says why.
    ///
    /// # Errors
    /// Where `found` fails, for example because nobody reads the output any more; `Internal` where no threads can be
    /// had.
    pub fn replay<E: Send + From<Error>>(
        &self,
        paths: &[PathBuf],
        done: &(dyn Fn(&Path) + Sync),
        found: &mut dyn FnMut(&Path, Found) -> Result<(), E>,
    ) -> Result<Vec<FileReport>, E> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build().map_err(|e| {
            Error::new(ErrorKind::Internal, "no threads can be had to replay on").with_source(e)
        })?;
        let (send, receive) = mpsc::channel::<(usize, Vec<Found>, FileReport)>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A closed channel means that the reader has given up: the rest is not worth the work.
                let work = |send: &mut mpsc::Sender<_>, (i, path): (usize, &PathBuf)| {
                    let (results, report) = self.one(path);
                    done(path);
                    send.send((i, results, report)).map_err(drop)
                };
                let _ = pool.install(|| paths.par_iter().enumerate().try_for_each_with(send, work));
            });
            let (mut waiting, mut reports) = (BTreeMap::new(), Vec::with_capacity(paths.len()));
            for (i, results, report) in receive {
                waiting.insert(i, (results, report));
                while let Some((results, report)) = waiting.remove(&reports.len()) {
                    for result in results {
                        found(&report.path, result)?;
                    }
                    reports.push(report);
                }
            }
            Ok(reports)
        })
    }

    fn one(&self, path: &Path) -> (Vec<Found>, FileReport) {
        let mut results = Vec::new();
        let mut replay =
            Replay::new(Box::new(self.engine)).with_kinds(self.kinds.clone()).with_consent(self.consent);
        if let Some(stream) = (self.stream_of)(path) {
            replay = replay.with_default_stream(stream);
        }
        let read = input::open(path).and_then(|mut reader| {
            replay
                .read(&mut reader, &mut |f| results.push(f))
                .map_err(|e| e.with_context("path", path.display()))
        });
        let (report, error) = match (replay.finish(&mut |f| results.push(f)), read) {
            (Ok(report), read) => (report, read.err()),
            (Err(error), read) => (ReplayReport::default(), Some(read.err().unwrap_or(error))),
        };
        (results, FileReport { path: path.to_owned(), report, error })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clipcore::detector::ChatBurst;
    use clipcore::fusion::FusionConfig;
    use clipcore::simulate::Scenario;

    use super::*;

    fn replayed(threads: usize, paths: &[PathBuf]) -> (Vec<String>, Vec<FileReport>) {
        let fusion = FusionConfig::default().factory().unwrap();
        let engine = |stream: &StreamId| {
            Engine::new(stream.clone(), fusion(stream)).with_detector(Box::new(ChatBurst::default()))
        };
        let files = Files {
            kinds: &Kinds::builtin(),
            consent: Consent::NONE,
            stream_of: &|_| None,
            threads,
            engine: &engine,
        };
        let mut lines = Vec::new();
        let reports = files.replay::<Error>(paths, &|_| {}, &mut |_, found| {
            if let Found::Moment(moment) = found {
                lines.push(serde_json::to_string(&moment).unwrap());
            }
            Ok(())
        });
        (lines, reports.unwrap())
    }

    #[test]
    fn any_number_of_threads_tells_the_same_in_the_same_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for i in 0..6 {
            let scenario = Scenario {
                stream: format!("s{i}"),
                seed: i,
                length: 1800.0 / (1 + i) as f64,
                ..Scenario::default()
            };
            let path = folder.path().join(format!("{}.jsonl", 9 - i));
            fs::write(&path, scenario.run().unwrap().lines().unwrap().join("\n")).unwrap();
            paths.push(path);
        }
        paths.insert(3, folder.path().join("missing.jsonl"));
        let (one, reports) = replayed(1, &paths);
        assert!(one.len() > 20, "{} transitions", one.len());
        assert!(reports[3].error.as_ref().unwrap().to_string().contains("missing.jsonl"));
        assert!(reports.iter().enumerate().all(|(i, r)| r.path == paths[i] && (r.error.is_none() || i == 3)));
        assert_eq!(replayed(4, &paths).0, one);
    }
}
