//! How long it takes after a start until a recording's index is there again, and what it takes of memory.
//!
//!     cargo bench -p clipcore-benches --bench reindex
//!
//! `REINDEX_SECS` of 1080p at about 6 Mb/s with AAC, scaled to an hour.

#![allow(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use clipcore::cutter::Span;
use clipcore::recorder::{Recorder, RecorderConfig, Recording};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Source, SourceOutput};
use clipcore::{CameraId, StreamId};
use common::cpu;
use common::support::programs::run;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 7;

fn main() {
    let secs = common::size("REINDEX_SECS", 900) as u32;
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, dir] = &args[..]
        && word == "--child"
    {
        return record(secs, Path::new(dir));
    }
    if !common::wanted() {
        return;
    }
    let dir = tempfile::tempdir_in(common::source::dir()).unwrap();
    // Another process records, so that what that takes of memory is not counted here.
    run(Command::new(std::env::current_exe().unwrap()).arg("--child").arg(dir.path()));
    println!("{}; {secs} s recorded\n", cpu::machine());
    common::head(&["what", "measured", "an hour"]);
    // Nothing here reads media: all of what the process holds afterwards beyond what it held before is the index.
    let held = cpu::resident().1;
    let first = Recording::open(dir.path()).unwrap();
    let index = cpu::resident().1.saturating_sub(held);
    let hours = first.span().unwrap().secs() / 3600.0;
    let (mut wall, mut cpu_s) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (cpu, begun) = (cpu::own(), Instant::now());
        let recording = Recording::open(dir.path()).unwrap();
        wall.push(begun.elapsed().as_secs_f64());
        cpu_s.push(cpu::own() - cpu);
        drop(recording);
    }
    let print = |what: &str, ms: f64| {
        let hour = if hours > 0.0 { ms / hours } else { f64::NAN };
        common::row(&[what.to_owned(), format!("{ms:.1} ms"), format!("{hour:.0} ms")]);
    };
    print("reindex, wall time, median", common::quantile(&wall, 0.5) * 1000.0);
    print("reindex, wall time, worst", common::quantile(&wall, 1.0) * 1000.0);
    print("reindex, CPU time, median", common::quantile(&cpu_s, 0.5) * 1000.0);
    let kib = index as f64 / 1024.0;
    common::row(&["index in memory".to_owned(), format!("{kib:.0} KiB"), format!("{:.0} KiB", kib / hours)]);
    let span = first.span().unwrap();
    let middle = span.start.offset_micros(span.end.micros_since(span.start) / 2);
    let begun = Instant::now();
    let clip = Span { start: middle, end: middle.offset_micros(30_000_000) };
    std::hint::black_box(first.slice(clip, None).unwrap());
    common::row(&[
        "finding the samples of a clip of 30 s".to_owned(),
        format!("{:.2} ms", begun.elapsed().as_secs_f64() * 1000.0),
        String::new(),
    ]);
}

fn record(secs: u32, dir: &Path) {
    let file = common::source::looped("hour", secs, &[]);
    let stream = StreamId::new("bench").unwrap();
    let config =
        RecorderConfig { retain: std::time::Duration::from_secs(100_000), ..RecorderConfig::default() };
    let recorder = Recorder::open(dir, stream.clone(), CameraId::main(), config).unwrap();
    let source =
        MediaSource::new(Input::parse(&file.display().to_string()).unwrap(), CameraId::main(), recorder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let running =
            tokio::spawn(Box::new(source).run(SourceOutput::new(stream, tx, CancellationToken::new())));
        while rx.recv().await.is_some() {}
        running.await.unwrap().unwrap();
    });
}
