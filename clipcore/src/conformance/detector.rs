//! What every detector has to keep; see the contract of [`Detector`](crate::detector::Detector).

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::cases::{Rng, stream};
use crate::detector::{AnyDetector, DetectorInfo, DynDetector, Signal};
use crate::event::AnyEvent;
use crate::model::ModelRegistry;
use crate::{Error, ErrorKind, Result, Timestamp};

/// How long after the last event time goes on.
const AFTER: Duration = Duration::from_secs(300);

/// Checks a detector that asks no models; see [`check_with_models`].
///
/// # Errors
/// As there.
pub fn check(make: impl Fn() -> Box<dyn DynDetector>, events: &[AnyEvent]) -> Result<()> {
    check_with_models(make, events, &ModelRegistry::default())
}

/// Checks that a detector keeps its contract on these events, which are to be in order: `at`, `onset` and
/// lateness; labels; unique ids; no signal without input; the same signals whatever the steps of time, after a
/// snapshot and restore at every event, and after a reset; a refused state changes nothing.
///
/// # Errors
/// `Internal`, saying what the detector did that it must not do.
pub fn check_with_models(
    make: impl Fn() -> Box<dyn DynDetector>,
    events: &[AnyEvent],
    models: &ModelRegistry,
) -> Result<()> {
    let subject = Subject { make: &make, events, models };
    subject.info()?;
    subject.silence()?;
    let expected = subject.plain()?;
    for seed in 0..3 {
        same("advancing in other steps changed the signals", &expected, &subject.chunked(seed))?;
    }
    same("snapshot and restore changed the signals", &expected, &subject.restored()?)?;
    same("a detector that was reset differs from a new one", &expected, &subject.reset())?;
    same("a state that was refused changed the detector", &expected, &subject.refused()?)
}

fn violated(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, what.into()).with_operation("conformance::detector")
}

fn same(what: &str, expected: &[Signal], got: &[Signal]) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    let at = expected.iter().zip(got).position(|(a, b)| a != b).unwrap_or(expected.len().min(got.len()));
    Err(violated(format!("{what}: signal {at} of {} (or {})", expected.len(), got.len()))
        .with_context("expected", format!("{:?}", expected.get(at)))
        .with_context("got", format!("{:?}", got.get(at))))
}

struct Subject<'a, F> {
    make: &'a F,
    events: &'a [AnyEvent],
    models: &'a ModelRegistry,
}

impl<F: Fn() -> Box<dyn DynDetector>> Subject<'_, F> {
    fn fresh(&self) -> AnyDetector {
        AnyDetector::new((self.make)(), stream(), None, self.models.clone())
    }

    fn wanted(&self) -> impl Iterator<Item = &AnyEvent> {
        let kinds = (self.make)().kinds();
        self.events.iter().filter(move |e| kinds.contains(&e.kind()))
    }

    fn end(&self) -> Timestamp {
        self.events.last().map_or(Timestamp::ZERO, AnyEvent::at) + AFTER
    }

    fn info(&self) -> Result<()> {
        let detector = self.fresh();
        let info = detector.info();
        if info.name.is_empty() || info.labels.is_empty() || (self.make)().kinds().is_empty() {
            return Err(violated("a detector needs a name, at least one label and at least one event kind"));
        }
        if self.wanted().next().is_none() {
            return Err(violated("none of these events is of a kind that the detector asks for"));
        }
        Ok(())
    }

    fn silence(&self) -> Result<()> {
        let mut detector = self.fresh();
        for second in [0, 1, 60, 7200] {
            detector.advance(Timestamp::from_secs(second));
        }
        match detector.take_signals().first() {
            Some(signal) => Err(violated(format!("it found something without any input: {signal:?}"))),
            None => Ok(()),
        }
    }

    /// Events one by one, checking each signal as it comes.
    fn plain(&self) -> Result<Vec<Signal>> {
        let mut detector = self.fresh();
        let info = detector.info().clone();
        let (mut all, mut ids) = (Vec::new(), HashSet::new());
        let mut reached = Timestamp::MIN;
        let mut take = |detector: &mut AnyDetector, to: Timestamp| -> Result<()> {
            for signal in detector.take_signals() {
                judge(&signal, &info, reached, to)?;
                if !ids.insert(signal.id.clone()) {
                    return Err(violated(format!("two signals have one id: {signal:?}")));
                }
                all.push(signal);
            }
            reached = to;
            Ok(())
        };
        for event in self.wanted() {
            // Small steps, so that a signal that comes too late is seen to be too late.
            let mut to = event.at() - Duration::from_secs(2);
            while to < event.at() {
                detector.advance(to);
                take(&mut detector, to)?;
                to += Duration::from_millis(100);
            }
            detector.detect(event);
            take(&mut detector, event.at())?;
        }
        detector.advance(self.end());
        take(&mut detector, self.end())?;
        if *detector.info() != (self.make)().info() {
            return Err(violated("what a detector says about itself must not change"));
        }
        Ok(all)
    }

    fn chunked(&self, seed: u64) -> Vec<Signal> {
        let (mut detector, mut rng) = (self.fresh(), Rng::new(seed));
        let mut last = None;
        for event in self.wanted() {
            if let Some(last) = last {
                let mut to: Timestamp = last;
                for _ in 0..rng.below(4) {
                    to = to.offset_micros(rng.below(1 + event.at().micros_since(to).unsigned_abs()) as i64);
                    detector.advance(to);
                    detector.advance(to);
                }
            }
            detector.detect(event);
            last = Some(event.at());
        }
        detector.advance(self.end());
        detector.take_signals()
    }

    fn restored(&self) -> Result<Vec<Signal>> {
        let (mut detector, mut all) = (self.fresh(), Vec::new());
        for event in self.wanted() {
            detector.detect(event);
            all.extend(detector.take_signals());
            // Through text, as a checkpoint goes.
            let text = detector.snapshot()?.to_string();
            let state: Value = serde_json::from_str(&text)?;
            detector = self.fresh();
            detector.restore(&state)?;
        }
        detector.advance(self.end());
        all.extend(detector.take_signals());
        Ok(all)
    }

    fn feed(&self, detector: &mut AnyDetector) -> Vec<Signal> {
        for event in self.wanted() {
            detector.detect(event);
        }
        detector.advance(self.end());
        detector.take_signals()
    }

    fn reset(&self) -> Vec<Signal> {
        let mut detector = self.fresh();
        self.feed(&mut detector);
        detector.reset();
        self.feed(&mut detector)
    }

    fn refused(&self) -> Result<Vec<Signal>> {
        let (mut detector, mut all) = (self.fresh(), Vec::new());
        let half = self.wanted().count() / 2;
        for (i, event) in self.wanted().enumerate() {
            if i == half && detector.restore(&json!({ "no such state": [1, "x"] })).is_ok() {
                return Err(violated("it took up a state that is none"));
            }
            detector.detect(event);
            all.extend(detector.take_signals());
        }
        detector.advance(self.end());
        all.extend(detector.take_signals());
        Ok(all)
    }
}

fn judge(signal: &Signal, info: &DetectorInfo, reached: Timestamp, to: Timestamp) -> Result<()> {
    let known = |l: &str| info.labels.iter().any(|k| k == l || k == DetectorInfo::ANY_LABEL);
    let why = if signal.at > to {
        "lies in the future"
    } else if signal.at < reached - info.max_lateness {
        "comes later than max_lateness allows"
    } else if signal.onset > signal.at {
        "begins after it is"
    } else if !signal.score.is_finite() {
        "has a score that is not a number"
    } else if !known(&signal.label) {
        "has a label that the detector does not declare"
    } else {
        return Ok(());
    };
    Err(violated(format!("a signal {why}"))
        .with_context("signal", format!("{signal:?}"))
        .with_context("time", to))
}
