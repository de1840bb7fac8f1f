//! How good the moments are: scores against labels, baselines to compare with, plots to look at.
//!
//! A detection is a hit where its peak lies in `[label start, label end + tolerance]`, one to one. Figures come
//! with bootstrap intervals over streams, since moments of one stream are not independent. Where a threshold is
//! fitted, fit it on some [`folds`] and report on the others.
//!
//! ```
//! use clipcore::eval::{DurationsBuilder, EvalConfig, comparison_table, detections, evaluate, read_labels, read_moments};
//!
//! let labels = read_labels("stream,start,end\ns1,48,55\n".as_bytes())?;
//! let line = r#"{"id":"a","rev":1,"stream":"s1","state":"closed","start":40,"peak":60,"end":65,"decided_at":62,"score":3.1,"label":"hype","evidence":[]}"#;
//! let moments = read_moments(line.as_bytes())?;
//! let found = detections(&moments);
//! let mut durations = DurationsBuilder::default();
//! durations.see_all(&labels, &found);
//! let report = evaluate(&found, &labels, &durations.build(), &EvalConfig::default());
//! assert_eq!(report.f1.value, Some(1.0));
//! assert_eq!(report.peak_delay_p50.value, Some(12.0));
//! println!("{}", comparison_table(&[("ours", &report)]));
//! # Ok::<(), clipcore::Error>(())
//! ```

mod baselines;
mod detection;
mod durations;
mod labels;
pub(crate) mod matching;
mod observed;
mod plot;
mod report;
mod table;

pub use baselines::{AlarmRule, Baseline, Counts, cross_validated, folds};
pub use detection::{Detection, detections, read_moments};
pub use durations::{Durations, DurationsBuilder};
pub use labels::{Label, labels_to_csv, read_labels};
pub use observed::{ByLabel, Observed};
pub use plot::{Plot, Trace};
pub use report::{Estimate, EvalConfig, Report, StreamReport, evaluate};
pub use table::{comparison_table, stream_table};

#[cfg(test)]
mod tests;
