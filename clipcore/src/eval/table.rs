use std::fmt::Write;

use super::{Estimate, Report};

/// A column of the comparison: heading, figure, decimals, factor.
type Column = (&'static str, fn(&Report) -> Estimate, usize, f64);

const COLUMNS: [Column; 15] = [
    ("F1", |r| r.f1, 3, 1.0),
    ("prec", |r| r.precision, 3, 1.0),
    ("recall", |r| r.recall, 3, 1.0),
    ("FA/h", |r| r.false_alarms_per_hour, 1, 1.0),
    ("peak p50", |r| r.peak_delay_p50, 1, 1.0),
    ("p90", |r| r.peak_delay_p90, 1, 1.0),
    ("told p50", |r| r.told_delay_p50, 1, 1.0),
    ("decided p50", |r| r.decided_delay_p50, 1, 1.0),
    ("p90", |r| r.decided_delay_p90, 1, 1.0),
    ("start ok %", |r| r.good_start, 0, 100.0),
    ("whole %", |r| r.whole_label, 0, 100.0),
    ("clip s", |r| r.clip_secs_p50, 1, 1.0),
    ("P@10", |r| r.precision_at_10, 3, 1.0),
    ("mAP.3", |r| r.map_tiou_30, 3, 1.0),
    ("mAP.5", |r| r.map_tiou_50, 3, 1.0),
];

/// A text table that compares reports, one a row, with the interval of F1 and of false alarms below.
///
/// Delays are seconds from the label's start to the peak, to the first telling, and to the confirmation.
pub fn comparison_table(rows: &[(&str, &Report)]) -> String {
    let mut cells = vec![vec![String::new()]];
    cells[0].extend(COLUMNS.iter().map(|(heading, ..)| (*heading).to_owned()));
    for (name, report) in rows {
        let mut row = vec![(*name).to_owned()];
        row.extend(
            COLUMNS.iter().map(|(_, f, decimals, factor)| number(f(report).value, *decimals, *factor)),
        );
        cells.push(row);
    }
    let mut text = aligned(&cells);
    if let Some((_, first)) = rows.first() {
        let _ = write!(
            text,
            "\n{} streams, {:.1} h, {} labels; a hit has its peak in [start, end + {} s]; delays in seconds from the label's start\n",
            first.streams.len(),
            first.hours,
            first.labels,
            first.config.tolerance.as_secs_f64()
        );
    }
    for (name, report) in rows {
        let _ = writeln!(
            text,
            "{name}: {} hits of {} detections; F1 {}, FA/h {}{}",
            report.hits,
            report.detections,
            interval(report.f1, 3),
            interval(report.false_alarms_per_hour, 1),
            match report.ignored {
                0 => String::new(),
                n => format!("; {n} labels or detections on other streams were left out"),
            }
        );
    }
    text
}

/// A text table of a report stream by stream.
pub fn stream_table(report: &Report) -> String {
    let mut cells =
        vec![["stream", "hours", "labels", "found", "hits", "F1", "FA/h"].map(str::to_owned).to_vec()];
    for s in &report.streams {
        let false_alarms = (s.detections - s.hits) as f64;
        cells.push(vec![
            s.stream.to_string(),
            format!("{:.2}", s.hours),
            s.labels.to_string(),
            s.detections.to_string(),
            s.hits.to_string(),
            number(s.f1, 3, 1.0),
            number((s.hours > 0.0).then(|| false_alarms / s.hours), 1, 1.0),
        ]);
    }
    aligned(&cells)
}

fn number(value: Option<f64>, decimals: usize, factor: f64) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{:.decimals$}", v * factor))
}

fn interval(e: Estimate, decimals: usize) -> String {
    let value = number(e.value, decimals, 1.0);
    match (e.low, e.high) {
        (Some(_), Some(_)) => {
            format!("{value} [{}, {}]", number(e.low, decimals, 1.0), number(e.high, decimals, 1.0))
        }
        _ => value,
    }
}

/// First column to the left, others to the right, two blanks between.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (c, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c].saturating_sub(cell.chars().count()));
            text += &if c == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") };
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}
