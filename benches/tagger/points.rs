//! Calibrations for fusion: from a label's score to the log-likelihood ratio that its event is there.

use clipcore::detector::AudioTaggerConfig;

use crate::System;
use crate::mixes::{Heard, KINDS, Stream, emitted};

const BINS: usize = 6;
/// Instants of each kind that are taken to have been seen in every bin beforehand.
const PRIOR: f64 = 5.0;

/// Prints `[[calibration]]` sections with points, once a second of the streams, pooled so that they rise (Zadrozny & Elkan
/// 2002), as `clipcore::tune` does for chat.
pub fn print(system: &System, streams: &[Stream], heard: &[Heard]) {
    println!("\n# {}", system.name);
    let least = AudioTaggerConfig::default().min_score;
    for kind in KINDS {
        let (mut scored, mut silent) = (Vec::new(), [0.0, 0.0]);
        for (stream, heard) in streams.iter().zip(heard) {
            let scores = heard.get(kind).map_or(&[][..], Vec::as_slice);
            let mut mine = emitted(scores, least, system.hold).into_iter().peekable();
            for second in 1..stream.seconds as i64 {
                let t = second as f64;
                let of_kind = stream.events.iter().filter(|e| e.kind == kind);
                let there = of_kind.into_iter().any(|e| e.start <= t && t <= e.end + 2.0);
                let mut best = f64::NEG_INFINITY;
                while let Some((_, score)) = mine.next_if(|(at, _)| *at <= t) {
                    best = best.max(score);
                }
                match best.is_finite() {
                    true => scored.push((best, there)),
                    false => silent[usize::from(there)] += 1.0,
                }
            }
        }
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points = points(&scored, silent);
        println!("[[calibration]]\ndetector = \"audio_tagger\"\nlabel = \"{kind}\"\ngroup = \"sound\"");
        println!("describes = true\npoints = {points:?}\n");
    }
}

fn points(scored: &[(f64, bool)], silent: [f64; 2]) -> Vec<[f64; 2]> {
    let positives = scored.iter().filter(|(_, p)| *p).count() as f64 + silent[1];
    let others = scored.iter().filter(|(_, p)| !*p).count() as f64 + silent[0];
    let ratio =
        |p: f64, n: f64| ((p + PRIOR) / (positives + PRIOR)).ln() - ((n + PRIOR) / (others + PRIOR)).ln();
    let nothing = ratio(silent[1], silent[0]);
    let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
    for bin in scored.chunks(scored.len().div_ceil(BINS).max(1)) {
        let p = bin.iter().filter(|(_, p)| *p).count() as f64;
        let n = bin.len() as f64;
        let score = bin.iter().map(|(s, _)| s).sum::<f64>() / n;
        let mut block = (score, ratio(p, n - p) - nothing, n);
        while let Some(last) = blocks.pop_if(|last| last.1 >= block.1) {
            let weight = last.2 + block.2;
            let mean = |a: f64, b: f64| (a * last.2 + b * block.2) / weight;
            block = (mean(last.0, block.0), mean(last.1, block.1), weight);
        }
        blocks.push(block);
    }
    let round = |x: f64| (x * 1000.0).round() / 1000.0;
    blocks.into_iter().map(|(score, llr, _)| [round(score), round(llr)]).collect()
}
