//! Checks of the [`ClipSink`] contract.
//!
//! ```
//! use clipcore::conformance::sink as kit;
//! use clipcore::sink::MemorySink;
//!
//! # let dir = tempfile::tempdir()?;
//! # let clip = dir.path().join("clip.mp4");
//! # std::fs::write(&clip, b"any file will do")?;
//! let effects = async |sink: &MemorySink| sink.deliveries().len();
//! futures::executor::block_on(kit::sink(async || Ok(MemorySink::new()), effects, &clip));
//! # Ok::<(), clipcore::Error>(())
//! ```

use std::path::Path;

use futures::future::join_all;
use sha2::{Digest, Sha256};

use crate::cutter::{Clip, ClipState, Span};
use crate::fusion::{Moment, MomentState};
use crate::ids::hex;
use crate::log::Receipt;
use crate::sink::{ClipSink, Delivery};
use crate::{CameraId, Result, StreamId, Timestamp};

fn done<T>(what: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{what} failed: {e}"))
}

/// Transition `rev` of a moment: 1 is `provisional`, 2 is `open`, from 3 on it is `closed`.
///
/// # Panics
/// Where `stream` is not a stream id.
pub fn moment(stream: &str, id: &str, rev: u32) -> Delivery {
    let state = match rev {
        1 => MomentState::Provisional,
        2 => MomentState::Open,
        _ => MomentState::Closed,
    };
    Delivery::Moment(Moment {
        id: id.into(),
        rev,
        stream: done("stream id", StreamId::new(stream)),
        state,
        start: Timestamp::from_secs(10),
        peak: Timestamp::from_secs(15),
        end: Timestamp::from_secs(20),
        decided_at: Timestamp::from_secs(20 + i64::from(rev)),
        start_time: None,
        peak_time: None,
        end_time: None,
        score: 2.5,
        label: "laughter".into(),
        evidence: Vec::new(),
        trace: None,
    })
}

/// A transition of a clip; a `ready` one carries `file`, with its size and hash.
///
/// # Panics
/// Where `stream` is not a stream id or `file` cannot be read.
pub fn clip(stream: &str, id: &str, state: ClipState, file: Option<&Path>) -> Delivery {
    let span = Span { start: Timestamp::from_secs(10), end: Timestamp::from_secs(20) };
    let file = file.filter(|_| state == ClipState::Ready);
    let bytes =
        file.map(|f| done("reading the clip's file", std::fs::read(f).map_err(|e| crate::Error::io(e, f))));
    Delivery::Clip {
        clip: Clip {
            id: id.into(),
            moment: "m".into(),
            rev: 3,
            stream: done("stream id", StreamId::new(stream)),
            camera: CameraId::main(),
            state,
            path: file.and_then(|f| f.file_name()).map(Into::into),
            url: None,
            thumbnail: None,
            preview: None,
            asked: span,
            achieved: file.map(|_| span),
            exact: file.is_some(),
            reasons: Vec::new(),
            codec: None,
            width: None,
            height: None,
            fps: None,
            bytes: bytes.as_ref().map(|b| b.len() as u64),
            sha256: bytes.map(|b| hex(&Sha256::digest(b))),
            edit: 0,
            trace: None,
        },
        file: file.map(Into::into),
    }
}

/// All transitions of a moment and its clips.
fn life(stream: &str, name: &str, file: &Path) -> Vec<Delivery> {
    let id = |part: &str| format!("{stream}-{name}-{part}");
    vec![
        moment(stream, &id("m"), 1),
        moment(stream, &id("m"), 2),
        moment(stream, &id("m"), 3),
        clip(stream, &id("c"), ClipState::Pending, None),
        clip(stream, &id("c"), ClipState::Ready, Some(file)),
        clip(stream, &id("d"), ClipState::Pending, None),
        clip(stream, &id("d"), ClipState::Failed, None),
    ]
}

async fn deliver(sink: &impl ClipSink, item: &Delivery) -> Receipt {
    let receipt = done("deliver", sink.deliver(item).await);
    assert_eq!(&receipt.item, item.item(), "the receipt is for another item");
    assert_eq!(receipt.rev, item.rev(), "the receipt is for another transition");
    assert_eq!(&receipt.stream, item.stream(), "the receipt is for another stream");
    assert_eq!(&*receipt.sink, sink.name(), "the receipt names another sink");
    receipt
}

/// Runs all checks that need no reopening; `make` gives a fresh sink that has delivered nothing with each call.
///
/// `effects` counts what a sink has done so far (lines, files, jobs): each transition that it
/// [wants](ClipSink::wants) has one effect, however often it is delivered. `file` is any file; it stands for a
/// finished clip.
///
/// # Panics
/// Where the sink breaks its contract, and where `make` fails.
pub async fn sink<S: ClipSink>(
    make: impl AsyncFn() -> Result<S>,
    effects: impl AsyncFn(&S) -> usize,
    file: &Path,
) {
    let sink = done("make", make().await);
    assert!(!sink.name().is_empty(), "a sink has a name");
    done("check", sink.check().await);
    assert_eq!(effects(&sink).await, 0, "a new sink, even when checked, has delivered nothing");

    let mut wanted = 0;
    for item in life("s1", "one", file) {
        wanted += usize::from(sink.wants(&item));
        let first = deliver(&sink, &item).await;
        assert!(!first.duplicate, "the first delivery of {:?} is called a duplicate", item.item());
        assert_eq!(
            effects(&sink).await,
            wanted,
            "a delivery has one effect, and none where it is not wanted"
        );
        let second = deliver(&sink, &item).await;
        assert_eq!(effects(&sink).await, wanted, "delivering twice had a second effect");
        assert!(second.duplicate || !sink.wants(&item), "the second delivery is not called a duplicate");
        assert_eq!(second.location, first.location, "the second receipt gives another place");
    }
    assert!(wanted > 0, "the sink wants nothing at all");

    let streams = ["s2", "s3", "s4", "s5"];
    join_all(streams.iter().map(async |stream| {
        for item in life(stream, "many", file) {
            deliver(&sink, &item).await;
        }
    }))
    .await;
    wanted *= 1 + streams.len();
    assert_eq!(effects(&sink).await, wanted, "deliveries of several streams at once were lost or doubled");
    done("close", sink.close().await);
    assert_eq!(effects(&sink).await, wanted, "closing lost or doubled deliveries");
}

/// Runs the checks of what outlives the process; each call of `open` opens the same sink, which has delivered
/// nothing at first.
///
/// # Panics
/// As [`sink`].
pub async fn sink_reopened<S: ClipSink>(
    open: impl AsyncFn() -> Result<S>,
    effects: impl AsyncFn(&S) -> usize,
    file: &Path,
) {
    let mut wanted = 0;
    for round in 0..3 {
        let sink = done("open", open().await);
        done("check", sink.check().await);
        assert_eq!(effects(&sink).await, wanted, "what was delivered is gone after a restart");
        for before in 0..round {
            for item in life("s1", &before.to_string(), file) {
                let again = deliver(&sink, &item).await;
                assert!(again.duplicate || !sink.wants(&item), "a delivery before the restart is not known");
            }
        }
        assert_eq!(effects(&sink).await, wanted, "delivering again after a restart had a second effect");
        for item in life("s1", &round.to_string(), file) {
            wanted += usize::from(sink.wants(&item));
            deliver(&sink, &item).await;
        }
        assert_eq!(effects(&sink).await, wanted);
        done("close", sink.close().await);
    }
}
