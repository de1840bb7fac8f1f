use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::detector::Signal;
use crate::fusion::{Fusion, FusionFactory, Moment};
use crate::{Result, StreamId, Timestamp};

type ByStream = BTreeMap<StreamId, Vec<Signal>>;

/// Keeps the signals that fusion would have been given, and decides nothing: what weights are fitted to.
///
/// Engines whose fusion comes from [`factory`](Self::factory) hear of events and of recorded signals just as in a
/// replay. Signals of a stream that lies in several files, sound in one and chat in another, come together.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    signals: Arc<Mutex<ByStream>>,
}

impl Collector {
    /// Makes fusions that keep their signals here.
    pub fn factory(&self) -> FusionFactory {
        let collector = self.clone();
        Arc::new(move |stream| {
            Box::new(Collecting { stream: stream.clone(), signals: Vec::new(), into: collector.clone() })
        })
    }

    /// Takes out what engines kept that have [finished](crate::engine::Engine::finish): each stream's signals in
    /// order, each once.
    pub fn take(&self) -> BTreeMap<StreamId, Vec<Signal>> {
        let mut all = std::mem::take(&mut *self.lock());
        for signals in all.values_mut() {
            signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
            signals.dedup_by(|a, b| a.id == b.id);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, ByStream> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Collecting {
    stream: StreamId,
    signals: Vec<Signal>,
    into: Collector,
}

impl Fusion for Collecting {
    fn push(&mut self, signal: &Signal) {
        self.signals.push(signal.clone());
    }

    fn advance(&mut self, _: Timestamp, _: &mut Vec<Moment>) {}

    fn finish(&mut self, _: &mut Vec<Moment>) {
        let mine = std::mem::take(&mut self.signals);
        self.into.lock().entry(self.stream.clone()).or_default().extend(mine);
    }

    fn snapshot(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.signals)?)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.signals = serde::Deserialize::deserialize(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::ChatBurst;
    use crate::engine::Engine;
    use crate::replay::Replay;
    use crate::simulate::{Scenario, SignalsConfig};

    #[test]
    fn signals_of_several_files_come_together_in_order_and_once() {
        let signals = Some(SignalsConfig::default());
        let simulation = Scenario { length: 1800.0, signals, ..Scenario::default() }.run().unwrap();
        let (recorded, chat): (Vec<String>, Vec<String>) =
            simulation.lines().unwrap().into_iter().partition(|line| line.contains("clipcore.signal"));
        // As `clipcore detect` writes them.
        let bare: Vec<String> =
            simulation.signals.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        let collector = Collector::default();
        let factory = collector.factory();
        for lines in [&chat, &recorded, &bare] {
            let make = |stream: &StreamId| {
                Engine::new(stream.clone(), factory(stream)).with_detector(Box::new(ChatBurst::default()))
            };
            let mut replay = Replay::new(Box::new(make));
            replay.read(&mut lines.join("\n").as_bytes(), &mut |_| {}).unwrap();
            assert_eq!(replay.finish(&mut |_| {}).unwrap().bad, 0);
        }
        let found = collector.take();
        let mine = &found[&StreamId::new("sim").unwrap()];
        let of = |name: &str| mine.iter().filter(|s| &*s.detector == name).count();
        assert!(of("chat_burst") > 10, "the engine's own");
        assert_eq!(mine.len() - of("chat_burst"), simulation.signals.len(), "and the recorded ones, once");
        assert!(mine.windows(2).all(|w| w[0].at <= w[1].at));
        assert!(collector.take().is_empty());
    }
}
