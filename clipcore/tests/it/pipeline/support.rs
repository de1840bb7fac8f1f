//! Small parts to build pipelines from: a script for a source, a burst detector, a fusion of five-second
//! windows, cutters and sinks whose world outlives the pipeline.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clipcore::cutter::{Clip, ClipState, Cutter, Deliveries, Profile, Span, clip_id};
use clipcore::detector::{Detector, DetectorInfo, Output, Signal};
use clipcore::event::{AnyEvent, ChatMessage, Header, Stamped};
use clipcore::fusion::{Evidence, Fusion, Moment, MomentState, moment_id};
use clipcore::log::Receipt;
use clipcore::sink::{ClipSink, Delivery, MemorySink};
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp, WallTime};
use futures::SinkExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(super) fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

pub(super) fn secs(s: f64) -> Timestamp {
    Timestamp::try_from_secs_f64(s).unwrap()
}

pub(super) fn chat(stream: &StreamId, at: f64, n: usize) -> AnyEvent {
    let header = Header::new(stream.clone(), secs(at), "test", format!("chat-{n}"));
    let data = ChatMessage { user: format!("u{n}").into(), text: None, emotes: [].into(), badges: [].into() };
    AnyEvent::wire(Stamped::new(header, data))
}

pub(super) fn loud(stream: &StreamId, at: f64, score: f64) -> Item {
    let at = secs(at);
    Item::Signal(Signal::new(stream.clone(), None, "ear".into(), 1, "loud", at, at, score))
}

pub(super) fn progress(at: f64) -> Item {
    Item::Progress { camera: CameraId::main(), at: secs(at), wall: None }
}

pub(super) fn live_progress(at: f64) -> Item {
    let wall = WallTime::from_unix_micros(1_000_000_000_000_000 + secs(at).as_micros());
    Item::Progress { camera: CameraId::main(), at: secs(at), wall: Some(wall) }
}

/// How a script ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Input,
    /// Waits for the stop, as a live source does.
    Stop,
    Error,
    Panic,
    /// Takes no notice of a stop.
    Never,
}

/// A source that says what it is told to.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) items: Vec<Item>,
    pub(super) end: End,
    pub(super) clock: bool,
    /// Counts what was handed over.
    pub(super) sent: Arc<Mutex<usize>>,
}

impl Script {
    pub(super) fn new(items: Vec<Item>, end: End) -> Self {
        Self { name: "script", items, end, clock: true, sent: Arc::default() }
    }

    pub(super) fn without_clock(mut self) -> Self {
        self.clock = false;
        self
    }
}

#[async_trait]
impl Source for Script {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn has_clock(&self) -> bool {
        self.clock
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        for item in self.items {
            if out.stop().is_cancelled() {
                return Ok(());
            }
            out.send(item).await?;
            *self.sent.lock().unwrap() += 1;
        }
        match self.end {
            End::Input => Ok(()),
            End::Stop => {
                out.stop().cancelled().await;
                Ok(())
            }
            End::Error => Err(Error::new(ErrorKind::Unavailable, "the server is away")),
            End::Panic => panic!("the source lost its head"),
            End::Never => std::future::pending().await,
        }
    }
}

/// Three messages within a second are a burst; the signal comes at the second's end.
#[derive(Default)]
pub(super) struct Burst {
    bin: i64,
    count: u64,
}

const SECOND: i64 = 1_000_000;

impl Detector for Burst {
    type Input = ChatMessage;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("burst", &["burst"])
    }

    fn detect(&mut self, event: &Stamped<ChatMessage>, out: &mut Output) {
        self.advance(event.at, out);
        self.bin = event.at.as_micros().div_euclid(SECOND);
        self.count += 1;
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        let end = Timestamp::from_secs(self.bin + 1);
        if self.count > 0 && to >= end {
            if self.count >= 3 {
                out.signal("burst", end, Timestamp::from_secs(self.bin), self.count as f64);
            }
            self.count = 0;
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn snapshot(&self) -> Result<Value> {
        Ok(json!([self.bin, self.count]))
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        (self.bin, self.count) = serde_json::from_value(state.clone())?;
        Ok(())
    }
}

/// A moment opens with a signal, is open a second later, and closes with everything of five seconds.
pub(super) struct Windows {
    stream: StreamId,
    waiting: Vec<Signal>,
    rev: u32,
}

impl Windows {
    pub(super) fn new(stream: &StreamId) -> Self {
        Self { stream: stream.clone(), waiting: Vec::new(), rev: 0 }
    }

    fn emit(&mut self, state: MomentState, start: Timestamp, end: Timestamp, out: &mut Vec<Moment>) {
        let evidence: Vec<Evidence> = self
            .waiting
            .iter()
            .filter(|s| s.at < end)
            .map(|s| Evidence {
                detector: s.detector.clone(),
                label: s.label.clone(),
                camera: None,
                at: s.at,
                score: s.score,
                contribution: s.score,
            })
            .collect();
        self.rev += 1;
        out.push(Moment {
            id: moment_id(&self.stream, start),
            rev: self.rev,
            stream: self.stream.clone(),
            state,
            start,
            peak: start,
            end: start + Duration::from_secs(5),
            decided_at: end,
            start_time: None,
            peak_time: None,
            end_time: None,
            score: evidence.iter().map(|e| e.contribution).sum(),
            label: evidence[0].label.clone(),
            evidence,
            trace: None,
        });
    }
}

impl Fusion for Windows {
    fn push(&mut self, signal: &Signal) {
        self.waiting.push(signal.clone());
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Moment>) {
        while let Some(start) = self.waiting.first().map(|s| s.at) {
            let (open, close) = (start + Duration::from_secs(1), start + Duration::from_secs(5));
            if self.rev == 0 && watermark >= open {
                self.emit(MomentState::Open, start, open, out);
            }
            if watermark < close {
                return;
            }
            self.emit(MomentState::Closed, start, close, out);
            self.rev = 0;
            self.waiting.retain(|s| s.at >= close);
        }
    }

    fn finish(&mut self, out: &mut Vec<Moment>) {
        self.advance(Timestamp::MAX, out);
    }

    fn snapshot(&self) -> Result<Value> {
        Ok(json!([self.waiting, self.rev]))
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        (self.waiting, self.rev) = serde_json::from_value(state.clone())?;
        Ok(())
    }
}

/// A cutter whose files outlive it.
pub(super) struct Scissors {
    pub(super) camera: CameraId,
    /// Ids of the files that are there.
    pub(super) disk: Arc<Mutex<BTreeSet<Arc<str>>>>,
    /// How often a file was written.
    pub(super) cuts: Arc<Mutex<Vec<Arc<str>>>>,
    /// Waits for the end of the media before it writes.
    pub(super) patient: bool,
    /// How far moments are decided.
    pub(super) watermark: Arc<Mutex<Option<Timestamp>>>,
    jobs: Mutex<Vec<(Moment, Deliveries)>>,
}

impl Scissors {
    pub(super) fn new(patient: bool) -> Self {
        Self {
            camera: CameraId::main(),
            disk: Arc::default(),
            cuts: Arc::default(),
            patient,
            watermark: Arc::default(),
            jobs: Mutex::default(),
        }
    }

    /// Another process's cutter on the same disk.
    pub(super) fn again(&self, patient: bool) -> Self {
        Self {
            camera: self.camera.clone(),
            disk: self.disk.clone(),
            cuts: self.cuts.clone(),
            patient,
            watermark: Arc::default(),
            jobs: Mutex::default(),
        }
    }

    async fn cut(&self, moment: &Moment, mut out: Deliveries) -> Result<()> {
        let id = clip_id(&moment.id, &self.camera, Profile::Exact);
        if self.disk.lock().unwrap().insert(id.clone()) {
            self.cuts.lock().unwrap().push(id.clone());
        }
        let ready = clip(moment, &self.camera, ClipState::Ready);
        let file = Some(PathBuf::from(format!("/clips/{id}.mp4")));
        out.send(Delivery::Clip { clip: ready, file }).await.map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Cancelled, "the pipeline has gone")
}

fn clip(moment: &Moment, camera: &CameraId, state: ClipState) -> Clip {
    let asked = Span { start: moment.start, end: moment.end };
    Clip {
        id: clip_id(&moment.id, camera, Profile::Exact),
        moment: moment.id.clone(),
        rev: moment.rev,
        stream: moment.stream.clone(),
        camera: camera.clone(),
        state,
        path: None,
        url: None,
        thumbnail: None,
        preview: None,
        asked,
        achieved: (state == ClipState::Ready).then_some(asked),
        exact: true,
        reasons: Vec::new(),
        codec: None,
        width: None,
        height: None,
        fps: None,
        bytes: None,
        sha256: None,
        edit: 0,
        trace: moment.trace.clone(),
    }
}

#[async_trait]
impl Cutter for Scissors {
    fn camera(&self) -> &CameraId {
        &self.camera
    }

    async fn moment(&self, moment: &Moment, out: &Deliveries) -> Result<()> {
        // Media that this moment needs must not have been let go before it was told.
        let decided = *self.watermark.lock().unwrap();
        assert!(decided.is_none_or(|at| at < moment.end), "told too late: {decided:?}");
        if moment.state != MomentState::Closed {
            return Ok(());
        }
        let mut out = out.clone();
        let pending = clip(moment, &self.camera, ClipState::Pending);
        out.send(Delivery::Clip { clip: pending, file: None }).await.map_err(|_| gone())?;
        if self.patient {
            self.jobs.lock().unwrap().push((moment.clone(), out));
            return Ok(());
        }
        self.cut(moment, out).await
    }

    fn watermark(&self, at: Timestamp) {
        *self.watermark.lock().unwrap() = Some(at);
    }

    async fn finish(&self) -> Result<()> {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        for (moment, out) in jobs {
            self.cut(&moment, out).await?;
        }
        Ok(())
    }
}

/// A memory sink that counts calls, and may be slow or fail.
#[derive(Clone)]
pub(super) struct Probe {
    pub(super) inner: MemorySink,
    pub(super) calls: Arc<Mutex<Vec<(String, u32)>>>,
    /// Each call takes one permit, where there is a gate.
    pub(super) gate: Option<Arc<Semaphore>>,
    pub(super) fails: Option<(ErrorKind, bool)>,
}

impl Probe {
    pub(super) fn new(name: &str) -> Self {
        Self { inner: MemorySink::new().with_name(name), calls: Arc::default(), gate: None, fails: None }
    }

    pub(super) fn slow(mut self, gate: &Arc<Semaphore>) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    pub(super) fn failing(mut self, kind: ErrorKind, retryable: bool) -> Self {
        self.fails = Some((kind, retryable));
        self
    }

    /// What it holds, as `item/rev`.
    pub(super) fn items(&self) -> Vec<String> {
        self.inner.deliveries().iter().map(|d| format!("{}/{}", d.item(), d.rev())).collect()
    }
}

#[async_trait]
impl ClipSink for Probe {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.calls.lock().unwrap().push((item.item().to_string(), item.rev()));
        if let Some((kind, retryable)) = self.fails {
            return Err(Error::new(kind, "this sink is broken").with_retryable(retryable));
        }
        if let Delivery::Clip { clip, file } = item {
            assert_eq!(clip.state == ClipState::Ready, file.is_some(), "a ready clip comes with its file");
        }
        self.inner.deliver(item).await
    }
}
