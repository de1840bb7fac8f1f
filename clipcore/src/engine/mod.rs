//! The synchronous heart: one stream's events and signals in, its moments out.
//!
//! An [`Engine`] sorts what arrives, runs the detectors of events, and drives fusion. It has no clock,
//! thread or I/O: time moves on `clock` events alone, so feeding it the records of a log gives the moments
//! of the live run, byte for byte. A `Pipeline` runs many engines on worker threads; an application without
//! tokio drives one by hand (see `examples/embed_sync.rs`).

mod breaks;
mod reorder;

use std::time::Duration;

use breaks::Breaks;
use reorder::Reorder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consent::Consent;
use crate::detector::{AnyDetector, DynDetector, Signal};
use crate::event::{AnyEvent, Clock, Kinds, PlatformEvent};
use crate::fusion::{Fusion, Moment};
use crate::model::ModelRegistry;
use crate::{CameraId, Error, Result, StreamId, Timestamp, WallTime};

/// How an engine is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// How long after its instant an event may arrive and still count. The watermark is the reference clock
    /// minus this.
    #[serde(with = "crate::config::secs")]
    pub lateness: Duration,
    /// How many events may wait for the watermark; further ones are refused and counted.
    pub max_buffered: usize,
    /// While the platform shows advertisements (`platform.event` of kind `ad_start`, `ad_end`) chat and sound are no
    /// evidence of what the streamer does. A break whose `ad_start` says no duration and whose `ad_end` does not come
    /// ends after this; 0 hears everything.
    #[serde(with = "crate::config::secs")]
    pub ad_break: Duration,
    /// Names of further detectors that are heard in advertisements, as people who ask for a clip (`marker`) and the game
    /// itself (`game_event`) always are.
    pub heard_in_ads: Vec<String>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            lateness: Duration::from_secs(2),
            max_buffered: 100_000,
            ad_break: Duration::from_secs(180),
            heard_in_ads: Vec::new(),
        }
    }
}

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It will be seen in order.
    Buffered,
    /// It came after the watermark had passed it: counted, not seen.
    Late,
    /// An input with its source and id is already there.
    Duplicate,
    /// The buffer is full: counted, not seen.
    Full,
    /// A clock record; time moved.
    Advanced,
}

/// What an engine counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineStats {
    /// Events and signals taken in.
    pub accepted: u64,
    /// Inputs that came too late.
    pub late: u64,
    /// Inputs that had come before.
    pub duplicate: u64,
    /// Inputs refused because the buffer was full.
    pub full: u64,
    /// Signals that fell into advertisements.
    #[serde(default)]
    pub muted: u64,
}

/// One stream's detectors and fusion; see the [module](self).
#[derive(Debug)]
pub struct Engine {
    stream: StreamId,
    config: EngineConfig,
    consent: Consent,
    models: ModelRegistry,
    detectors: Vec<AnyDetector>,
    fusion: FusionBox,
    events: Reorder<AnyEvent>,
    signals: Reorder<Signal>,
    breaks: Breaks,
    watermark: Timestamp,
    /// Civil time minus stream time in microseconds, from the latest clock that knew.
    wall_offset: Option<i64>,
    ended: bool,
    stats: EngineStats,
    found: Vec<Signal>,
    moments: Vec<Moment>,
}

struct FusionBox(Box<dyn Fusion>);

impl std::fmt::Debug for FusionBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fusion")
    }
}

impl Engine {
    /// An engine without detectors.
    pub fn new(stream: StreamId, fusion: Box<dyn Fusion>) -> Self {
        Self {
            stream,
            config: EngineConfig::default(),
            consent: Consent::NONE,
            models: ModelRegistry::default(),
            detectors: Vec::new(),
            fusion: FusionBox(fusion),
            events: Reorder::default(),
            signals: Reorder::default(),
            breaks: Breaks::default(),
            watermark: Timestamp::MIN,
            wall_offset: None,
            ended: false,
            stats: EngineStats::default(),
            found: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// Sets lateness and buffer size.
    #[must_use]
    pub fn with_config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// Says what the stream's people agreed to; detectors added later are checked against it.
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = consent;
        self
    }

    /// Makes models available to the detectors that are added later.
    #[must_use]
    pub fn with_models(mut self, models: ModelRegistry) -> Self {
        self.models = models;
        self
    }

    /// Adds a detector of events.
    ///
    /// # Errors
    /// `ConsentRequired` where the stream's consent does not cover what it needs; `Config` where a
    /// detector of that name is already there.
    pub fn with_detector(mut self, detector: Box<dyn DynDetector>) -> Result<Self> {
        self.add(detector, None)?;
        Ok(self)
    }

    /// As [`with_detector`](Self::with_detector), for a detector that watches one camera.
    ///
    /// # Errors
    /// As there.
    pub fn with_camera_detector(mut self, detector: Box<dyn DynDetector>, camera: CameraId) -> Result<Self> {
        self.add(detector, Some(camera))?;
        Ok(self)
    }

    fn add(&mut self, detector: Box<dyn DynDetector>, camera: Option<CameraId>) -> Result<()> {
        let info = detector.info();
        self.consent.require(info.needs, &info.name)?;
        if self.detectors.iter().any(|d| d.info().name == info.name) {
            return Err(Error::config(format!("there are two detectors named {:?}", info.name))
                .with_hint("give one of them another name"));
        }
        // A stream has few detectors and a process many streams: room for more would be half of a stream's memory.
        self.detectors.reserve_exact(1);
        self.detectors.push(AnyDetector::new(detector, self.stream.clone(), camera, self.models.clone()));
        Ok(())
    }

    /// The stream.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Every input before this instant has been seen.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// What was counted so far.
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// Whether the end of the input has been seen.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Where a civil time lies on the timeline, by the latest clock that knew.
    pub fn to_stream_time(&self, wall: WallTime) -> Option<Timestamp> {
        self.wall_offset.map(|offset| Timestamp::from_micros(wall.as_unix_micros().saturating_sub(offset)))
    }

    fn to_wall(&self, at: Timestamp) -> Option<WallTime> {
        self.wall_offset.map(|offset| WallTime::from_unix_micros(at.as_micros().saturating_add(offset)))
    }

    /// Takes in an event. A `clock` event moves time; its results are then in
    /// [`take_signals`](Self::take_signals) and [`take_moments`](Self::take_moments).
    pub fn event(&mut self, event: AnyEvent) -> Accepted {
        if let Some(clock) = event.payload::<Clock>().cloned() {
            return self.clock(event.at(), &clock);
        }
        if event.at() < self.watermark || self.ended {
            self.stats.late += 1;
            return Accepted::Late;
        }
        if self.events.len() >= self.config.max_buffered {
            self.stats.full += 1;
            return Accepted::Full;
        }
        if !self.events.push(event) {
            self.stats.duplicate += 1;
            return Accepted::Duplicate;
        }
        self.stats.accepted += 1;
        Accepted::Buffered
    }

    /// Takes in a signal that was found at the edge (in sound or pictures).
    pub fn signal(&mut self, signal: Signal) -> Accepted {
        if signal.at < self.fusion_watermark() || self.ended {
            self.stats.late += 1;
            return Accepted::Late;
        }
        if !signal.score.is_finite() || self.signals.len() >= self.config.max_buffered {
            self.stats.full += 1;
            return Accepted::Full;
        }
        if !self.signals.push(signal) {
            self.stats.duplicate += 1;
            return Accepted::Duplicate;
        }
        self.stats.accepted += 1;
        Accepted::Buffered
    }

    fn clock(&mut self, at: Timestamp, clock: &Clock) -> Accepted {
        if let Some(wall) = clock.wall {
            self.wall_offset = Some(wall.as_unix_micros().saturating_sub(at.as_micros()));
        }
        if clock.end {
            self.finish();
        } else {
            self.advance(at - self.config.lateness);
        }
        Accepted::Advanced
    }

    /// Moves the watermark to `to` (never back).
    pub fn advance(&mut self, to: Timestamp) {
        if to <= self.watermark || self.ended {
            return;
        }
        self.watermark = to;
        self.run_detectors(to);
        let fused = self.fusion_watermark();
        self.run_fusion(fused);
        let from = self.moments.len();
        self.fusion.0.advance(fused, &mut self.moments);
        self.stamp_wall(from);
    }

    /// The input has ended: everything buffered is seen, everything open is decided.
    pub fn finish(&mut self) {
        if self.ended {
            return;
        }
        // The instant after the last input: detectors tick up to it, and no further into nothing.
        let last = self.events.last_at().into_iter().chain(self.signals.last_at()).max();
        let end = last.map_or(self.watermark, |t| t.offset_micros(1).max(self.watermark));
        if end > Timestamp::MIN {
            self.run_detectors(end);
            self.run_fusion(Timestamp::MAX);
        }
        let from = self.moments.len();
        self.fusion.0.finish(&mut self.moments);
        self.stamp_wall(from);
        self.watermark = end;
        self.ended = true;
    }

    fn run_detectors(&mut self, to: Timestamp) {
        while let Some(event) = self.events.pop_before(to) {
            if let Some(platform) =
                event.payload::<PlatformEvent>().filter(|_| !self.config.ad_break.is_zero())
            {
                self.breaks.see(event.at(), platform, self.config.ad_break);
            }
            for detector in &mut self.detectors {
                // A handful of names a detector: comparing them is quicker than a table, and needs no memory.
                if detector.wants(event.kind()) {
                    detector.detect(&event);
                }
            }
        }
        self.events.shrink();
        for detector in &mut self.detectors {
            detector.advance(to);
            for signal in detector.take_signals() {
                self.found.push(signal.clone());
                self.signals.push(signal);
            }
        }
    }

    fn run_fusion(&mut self, to: Timestamp) {
        while let Some(signal) = self.signals.pop_before(to) {
            // Every event before `to` has been seen, so that breaks are known whatever the steps of time. What began in
            // a break and outlasts it is still about the break.
            let muted = self.breaks.cover(signal.at) || self.breaks.cover(signal.onset);
            if muted && !breaks::heard(&signal.detector, &self.config.heard_in_ads) {
                self.stats.muted += 1;
            } else {
                self.fusion.0.push(&signal);
            }
        }
        self.signals.shrink();
        self.breaks.forget(to - breaks::ONSETS);
    }

    /// Detectors may report up to their `max_lateness` back, so fusion stays that far behind.
    fn fusion_watermark(&self) -> Timestamp {
        if self.watermark == Timestamp::MIN {
            return Timestamp::MIN;
        }
        let behind = self.detectors.iter().map(|d| d.info().max_lateness).max().unwrap_or_default();
        self.watermark - behind
    }

    fn stamp_wall(&mut self, from: usize) {
        for i in from..self.moments.len() {
            let (start, peak, end) = {
                let m = &self.moments[i];
                (self.to_wall(m.start), self.to_wall(m.peak), self.to_wall(m.end))
            };
            let moment = &mut self.moments[i];
            (moment.start_time, moment.peak_time, moment.end_time) = (start, peak, end);
        }
    }

    /// Takes out the signals that the engine's own detectors found.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.found)
    }

    /// Takes out the moments' transitions, in order.
    pub fn take_moments(&mut self) -> Vec<Moment> {
        std::mem::take(&mut self.moments)
    }

    /// The whole state, for a checkpoint together with the log's offset.
    ///
    /// # Errors
    /// Where a part's state cannot be expressed as JSON.
    pub fn snapshot(&self) -> Result<Value> {
        let mut detectors = serde_json::Map::new();
        for detector in &self.detectors {
            detectors.insert(detector.info().name.to_string(), detector.snapshot()?);
        }
        Ok(serde_json::to_value(Snapshot {
            stream: self.stream.clone(),
            watermark_us: self.watermark.as_micros(),
            wall_offset: self.wall_offset,
            ended: self.ended,
            stats: self.stats,
            events: self.events.iter().map(AnyEvent::to_json).collect::<Result<_>>()?,
            signals: self.signals.iter().cloned().collect(),
            detectors,
            breaks: self.breaks.clone(),
            fusion: self.fusion.0.snapshot()?,
        })?)
    }

    /// Takes up a state that [`snapshot`](Self::snapshot) of an engine of the same set-up gave. `kinds`
    /// reads the events that were buffered.
    ///
    /// # Errors
    /// `InvalidInput` where the value is not such a state, or is of another stream.
    pub fn restore(&mut self, state: &Value, kinds: &Kinds) -> Result<()> {
        let snapshot: Snapshot = Snapshot::deserialize(state)?;
        if snapshot.stream != self.stream {
            return Err(Error::invalid(format!(
                "this state belongs to stream {}, not to {}",
                snapshot.stream, self.stream
            )));
        }
        for detector in &mut self.detectors {
            match snapshot.detectors.get(&*detector.info().name) {
                Some(state) => detector.restore(state)?,
                None => detector.reset(),
            }
        }
        self.fusion.0.restore(&snapshot.fusion)?;
        self.events = Reorder::default();
        for line in &snapshot.events {
            self.events.push(kinds.parse(line.as_bytes())?.resolve(&mut |_| None)?);
        }
        self.signals = Reorder::default();
        for signal in snapshot.signals {
            self.signals.push(signal);
        }
        self.breaks = snapshot.breaks;
        self.watermark = Timestamp::from_micros(snapshot.watermark_us);
        self.wall_offset = snapshot.wall_offset;
        self.ended = snapshot.ended;
        self.stats = snapshot.stats;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    stream: StreamId,
    watermark_us: i64,
    wall_offset: Option<i64>,
    ended: bool,
    stats: EngineStats,
    events: Vec<String>,
    signals: Vec<Signal>,
    detectors: serde_json::Map<String, Value>,
    #[serde(default)]
    breaks: Breaks,
    fusion: Value,
}
