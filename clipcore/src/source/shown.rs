use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::detector::{AnyDetector, DynDetector, Signal};
use crate::event::{AnyEvent, Event, Header, Stamped};
use crate::model::ModelRegistry;
use crate::source::{Item, SourceOutput};
use crate::{CameraId, Result, StreamId, Timestamp};

/// The next thing that somebody sent; nothing once nobody can, or it is over.
pub(super) async fn sent<T>(
    things: &mut mpsc::Receiver<T>,
    ended: &CancellationToken,
    out: &SourceOutput,
) -> Option<T> {
    tokio::select! {
        biased;
        // What was taken before the end is still shown.
        thing = things.recv() => thing,
        () = ended.cancelled() => None,
        () = out.stop().cancelled() => None,
    }
}

/// Detectors at the edge, for sound and pictures that somebody sends.
pub(super) struct Shown {
    stream: StreamId,
    camera: CameraId,
    source: &'static str,
    detectors: Vec<AnyDetector>,
    /// They may not be shown anything earlier than this.
    latest: Timestamp,
    failures: u64,
}

impl Shown {
    pub(super) fn new(
        stream: &StreamId,
        source: &'static str,
        detectors: Vec<Box<dyn DynDetector>>,
        models: &ModelRegistry,
    ) -> Self {
        let camera = CameraId::main();
        let bind = |d| AnyDetector::new(d, stream.clone(), Some(camera.clone()), models.clone());
        let detectors = detectors.into_iter().map(bind).collect();
        Self { stream: stream.clone(), camera, source, detectors, latest: Timestamp::MIN, failures: 0 }
    }

    pub(super) fn wants(&self, kind: &str) -> bool {
        self.detectors.iter().any(|d| d.wants(kind))
    }

    /// Shows it to those that want it. May block.
    pub(super) fn show<E: Event>(&mut self, at: Timestamp, data: E) {
        if !self.wants(E::KIND) {
            return;
        }
        let at = self.latest.max(at);
        let mut header = Header::new(self.stream.clone(), at, self.source, "");
        header.camera = Some(self.camera.clone());
        let event = AnyEvent::local(Stamped::new(header, data));
        for detector in self.detectors.iter_mut().filter(|d| d.wants(E::KIND)) {
            detector.detect(&event);
        }
    }

    /// What is shown from now on lies at `at` at least.
    pub(super) fn reach(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
    }

    /// Everything before `to` was shown. May block.
    #[cfg(feature = "media")]
    pub(super) fn advance(&mut self, to: Timestamp) {
        self.reach(to);
        for detector in &mut self.detectors {
            detector.advance(self.latest);
        }
    }

    /// Hands over what they have found.
    pub(super) async fn tell(&mut self, out: &SourceOutput) -> Result<()> {
        for detector in &mut self.detectors {
            let signals: Vec<Signal> = detector.take_signals();
            for signal in signals {
                out.send(Item::Signal(signal)).await?;
            }
            if detector.failures() > 0 && self.failures == 0 {
                let why = detector.last_failure().map(ToString::to_string).unwrap_or_default();
                let text = format!("{} goes on without some answers: {why}", detector.info().name);
                out.send(Item::Notice(text)).await?;
            }
            self.failures = self.failures.max(detector.failures());
        }
        Ok(())
    }
}
