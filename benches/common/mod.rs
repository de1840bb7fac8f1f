//! What the benches of media share.
#![allow(dead_code, unreachable_pub)] // every bench uses its own part

pub mod cpu;
pub mod edges;
pub mod source;
#[path = "../../clipcore/tests/support/mod.rs"]
pub mod support;

use std::fmt::Display;

/// `cargo bench` passes `--bench`, and `cargo test` passes nothing that means "measure".
pub fn wanted() -> bool {
    let wanted = std::env::args().any(|a| a == "--bench");
    if !wanted {
        println!("skipped: run it with cargo bench");
    }
    wanted && support::programs::require("bench", &["ffmpeg", "ffprobe"])
}

/// A number from the environment: how large a run is to be.
pub fn size(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// A Markdown table's head.
pub fn head(columns: &[&str]) {
    row(columns);
    println!("|{}", "---|".repeat(columns.len()));
}

/// A Markdown table's row.
pub fn row(cells: &[impl Display]) {
    let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
    println!("| {} |", cells.join(" | "));
}

/// The value that `part` (0 to 1) of `values` do not exceed.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
