//! The demo's stream is what it says it is.

use std::process::Command;

use clipcore_cli::demo::{self, DISTRACTORS, MOMENTS, SECS};
use clipcore_cli::output::Progress;

use crate::support::programs::{require, run};
use crate::support::reading;

/// Momentary loudness (EBU R128, 400 ms) per tenth of a second.
fn loudness(file: &std::path::Path) -> Vec<(f64, f64)> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(file);
    ffmpeg.args([
        "-af",
        "ebur128=metadata=1,ametadata=print:key=lavfi.r128.M:file=-",
        "-vn",
        "-f",
        "null",
        "-",
    ]);
    let text = String::from_utf8(run(&mut ffmpeg)).expect("text");
    let (mut levels, mut at) = (Vec::new(), 0.0);
    for line in text.lines() {
        if let Some(time) = line.split("pts_time:").nth(1) {
            at = time.trim().parse().expect("seconds");
        } else if let Some(level) = line.strip_prefix("lavfi.r128.M=") {
            levels.push((at, level.parse().expect("a level")));
        }
    }
    levels
}

#[test]
fn the_demo_stream_has_its_moments_where_the_truth_says() {
    if !require("the_demo_stream_has_its_moments_where_the_truth_says", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stream = demo::make(dir.path(), 1, &Progress::start("", true)).unwrap();

    let levels = loudness(&stream.media);
    assert!((levels.last().unwrap().0 - f64::from(SECS)).abs() < 0.5, "two minutes of sound");
    let mean = |from: f64, to: f64| {
        let inside: Vec<f64> =
            levels.iter().filter(|(t, _)| from <= *t && *t < to).map(|(_, level)| *level).collect();
        inside.iter().sum::<f64>() / inside.len() as f64
    };
    for m in MOMENTS {
        let (before, during) = (mean(m.start - 10.0, m.start - 1.0), mean(m.start + 1.0, m.end - 1.5));
        assert!(during - before > 8.0, "{m:?}: {before:.1} → {during:.1} LUFS");
    }
    for d in DISTRACTORS.iter().filter(|d| d.kind != "raid") {
        let loudest = levels.iter().filter(|(t, _)| d.start <= *t && *t < d.end + 0.5);
        let loudest = loudest.map(|(_, level)| *level).fold(f64::MIN, f64::max);
        assert!(loudest - mean(d.start - 10.0, d.start - 1.0) > 8.0, "{d:?} is not loud: {loudest:.1} LUFS");
        assert!(mean(d.end + 1.0, d.end + 4.0) < loudest - 8.0, "{d:?} goes on");
    }

    let keys = reading::keyframes(&stream.media);
    assert_eq!(keys.len(), SECS as usize / 2, "a keyframe every two seconds");
    assert!(keys.iter().enumerate().all(|(i, t)| (t - 2.0 * i as f64).abs() < 0.001), "{keys:?}");

    let truth = std::fs::read_to_string(&stream.truth).unwrap();
    assert_eq!(truth.lines().next(), Some("stream,start,end,kind"));
    assert_eq!(truth.lines().count(), 1 + MOMENTS.len());
}
