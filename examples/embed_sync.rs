//! The engine inside an application that has no tokio: events in, moments out, on the caller's own thread.
//!
//! ```sh
//! cargo run -p clipcore-examples --example embed_sync                  # a simulated chat
//! cargo run -p clipcore-examples --example embed_sync -- chat.jsonl    # yours
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader};

use clipcore::detector::{ChatBurst, GameEventDetector, MarkerDetector};
use clipcore::engine::Engine;
use clipcore::event::{AnyEvent, Kinds};
use clipcore::fusion::{FusionConfig, MomentState};
use clipcore::simulate::Scenario;
use clipcore::{Error, Result};

fn main() -> Result<()> {
    let events = match std::env::args().nth(1) {
        Some(path) => read(&path)?,
        None => {
            let simulation = Scenario { length: 1800.0, ..Scenario::default() }.run()?;
            println!(
                "{} messages of a simulated chat with {} highlights",
                simulation.events.len(),
                simulation.labels.len()
            );
            simulation.events
        }
    };
    let Some(stream) = events.first().map(|e| e.stream().clone()) else {
        return Err(Error::invalid("there are no events"));
    };

    let fusion = FusionConfig::default().factory()?;
    let mut engine = Engine::new(stream.clone(), fusion(&stream))
        .with_detector(Box::new(ChatBurst::default()))?
        .with_detector(Box::new(GameEventDetector::default()))?
        .with_detector(Box::new(MarkerDetector::default()))?;

    for event in events {
        let at = event.at();
        engine.event(event);
        // Time is the caller's to move: events up to two seconds late are still seen in order.
        engine.advance(at - std::time::Duration::from_secs(2));
        report(&mut engine);
    }
    engine.finish();
    report(&mut engine);
    println!("{:?}", engine.stats());
    Ok(())
}

/// Prints each moment once it is final; the transitions before say how it came about.
fn report(engine: &mut Engine) {
    for moment in engine.take_moments().into_iter().filter(|m| m.state == MomentState::Closed) {
        println!("{} to {}: {} (score {:.2})", moment.start, moment.end, moment.label, moment.score);
        for e in moment.evidence.iter().take(3) {
            println!("    {:+.2}  {} {} at {}", e.contribution, e.detector, e.label, e.at);
        }
    }
}

fn read(path: &str) -> Result<Vec<AnyEvent>> {
    let file = File::open(path).map_err(|e| Error::io(e, path))?;
    let kinds = Kinds::builtin();
    let mut events = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let incoming = kinds.parse(line?.as_bytes()).map_err(|e| e.with_context("line", number + 1))?;
        // Events that carry civil time instead of stream time would be placed by this closure.
        events.push(incoming.resolve(&mut |_| None)?);
    }
    events.sort_by_key(AnyEvent::at);
    Ok(events)
}
