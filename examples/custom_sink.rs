//! A sink of your own: here one that writes a programme of the evening as text. Retry comes from a layer around it.
//!
//! ```sh
//! cargo run -p clipcore-examples --example custom_sink
//! ```

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clipcore::detector::MarkerDetector;
use clipcore::event::Kinds;
use clipcore::fusion::{FusionConfig, MomentState};
use clipcore::log::{MemoryLog, Receipt};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::sink::layer::RetryConfig;
use clipcore::sink::{ClipSink, Delivery, SinkExt};
use clipcore::source::JsonlSource;
use clipcore::{Error, ErrorKind, Result, StreamId};

/// One line for each finished moment.
#[derive(Default)]
struct Programme {
    /// What is delivered: an item and its revision are taken once, however often they come.
    seen: Mutex<HashSet<(Arc<str>, u32)>>,
    lines: Mutex<Vec<String>>,
    attempts: AtomicU32,
}

#[async_trait]
impl ClipSink for Programme {
    fn name(&self) -> &str {
        "programme"
    }

    fn wants(&self, item: &Delivery) -> bool {
        matches!(item, Delivery::Moment(m) if m.state == MomentState::Closed)
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(self.name());
        let Delivery::Moment(moment) = item else { return Ok(receipt) };
        if moment.state != MomentState::Closed {
            return Ok(receipt);
        }
        // As a server that is away for a moment: `Unavailable` is retryable, so the layer comes again.
        if self.attempts.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Error::new(ErrorKind::Unavailable, "the printer is warming up"));
        }
        receipt.duplicate = !self.seen.lock().expect("not poisoned").insert((moment.id.clone(), moment.rev));
        if !receipt.duplicate {
            let line = format!("{}  {} (until {})", moment.start, moment.label, moment.end);
            self.lines.lock().expect("not poisoned").push(line);
        }
        Ok(receipt)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let events = br#"
{"type":"marker","stream":"evening","at":12.0,"data":{"label":"opening"}}
{"type":"marker","stream":"evening","at":95.0,"data":{"label":"encore"}}
{"type":"clock","stream":"evening","at":200.0,"data":{"end":true}}
"#;
    let programme = Arc::new(Programme::default());
    let fusion = FusionConfig::default().factory()?;
    let summary = Pipeline::builder()
        .with_stream(StreamSpec::new(StreamId::new("evening")?).with_source(JsonlSource::new(
            "events",
            &events[..],
            Kinds::builtin(),
        )))
        .with_log(Arc::new(MemoryLog::new(1)))
        .with_fusion(move |stream| fusion(stream))
        .with_detector(|_| Ok(Box::new(MarkerDetector::default())))
        .with_sink(Arc::new(programme.clone().with_retry(RetryConfig::default())))
        .build()?
        .run()
        .await?;
    if let Some(error) = summary.sink_error() {
        eprintln!("not everything was delivered: {error}");
    }
    println!("{} attempts", programme.attempts.load(Ordering::Relaxed));
    for line in programme.lines.lock().expect("not poisoned").iter() {
        println!("{line}");
    }
    Ok(())
}
