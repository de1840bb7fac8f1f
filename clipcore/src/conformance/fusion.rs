//! What every fusion has to keep; see the contract of [`Fusion`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cases::Rng;
use crate::detector::Signal;
use crate::fusion::{Fusion, Moment, MomentState};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Checks that a fusion keeps its contract on these signals, which are to be in order: ids, revisions and final
/// states; contributions that add up; finite scores; the same moments whatever the steps of time and after a
/// snapshot and restore at every signal; everything decided at the end; a refused state changes nothing.
///
/// # Errors
/// `Internal`, saying what the fusion did that it must not do.
pub fn check(make: impl Fn() -> Box<dyn Fusion>, signals: &[Signal]) -> Result<()> {
    let end = signals.last().map_or(Timestamp::ZERO, |s| s.at) + Duration::from_secs(1);
    let expected = stepwise(&mut *make(), signals, end)?;
    judge_lives(&expected)?;
    for seed in 0..3 {
        same(
            "advancing in other steps changed the moments",
            &expected,
            &chunked(&mut *make(), signals, end, seed),
        )?;
    }
    same("snapshot and restore changed the moments", &expected, &restored(&make, signals, end)?)?;
    same("a state that was refused changed the fusion", &expected, &refused(&mut *make(), signals, end)?)
}

fn violated(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, what.into()).with_operation("conformance::fusion")
}

fn same(what: &str, expected: &[Moment], got: &[Moment]) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    let at = expected.iter().zip(got).position(|(a, b)| a != b).unwrap_or(expected.len().min(got.len()));
    Err(violated(format!("{what}: transition {at} of {} (or {})", expected.len(), got.len()))
        .with_context("expected", format!("{:?}", expected.get(at)))
        .with_context("got", format!("{:?}", got.get(at))))
}

/// Advances to every signal, checking what comes out on the way.
fn stepwise(fusion: &mut dyn Fusion, signals: &[Signal], end: Timestamp) -> Result<Vec<Moment>> {
    let mut all = Vec::new();
    for signal in signals {
        let from = all.len();
        fusion.advance(signal.at, &mut all);
        if let Some(early) = all[from..].iter().find(|m| m.decided_at >= signal.at) {
            return Err(violated(format!("at {} it decided what it cannot know yet: {early:?}", signal.at)));
        }
        fusion.push(signal);
    }
    fusion.advance(end, &mut all);
    fusion.finish(&mut all);
    Ok(all)
}

fn chunked(fusion: &mut dyn Fusion, signals: &[Signal], end: Timestamp, seed: u64) -> Vec<Moment> {
    let (mut all, mut rng) = (Vec::new(), Rng::new(seed));
    for (i, signal) in signals.iter().enumerate() {
        // Seed 0 never advances before the end.
        if seed > 0 && rng.below(1 + seed) == 0 {
            let since = if i == 0 { signal.at } else { signals[i - 1].at };
            let step = rng.below(1 + signal.at.micros_since(since).unsigned_abs());
            fusion.advance(since.offset_micros(step as i64), &mut all);
        }
        fusion.push(signal);
    }
    fusion.advance(end, &mut all);
    fusion.finish(&mut all);
    all
}

fn restored(make: &impl Fn() -> Box<dyn Fusion>, signals: &[Signal], end: Timestamp) -> Result<Vec<Moment>> {
    let (mut fusion, mut all) = (make(), Vec::new());
    for signal in signals {
        fusion.advance(signal.at, &mut all);
        fusion.push(signal);
        // Through text, as a checkpoint goes.
        let text = fusion.snapshot()?.to_string();
        let state: Value = serde_json::from_str(&text)?;
        fusion = make();
        fusion.restore(&state)?;
    }
    fusion.advance(end, &mut all);
    fusion.finish(&mut all);
    Ok(all)
}

fn refused(fusion: &mut dyn Fusion, signals: &[Signal], end: Timestamp) -> Result<Vec<Moment>> {
    let mut all = Vec::new();
    for (i, signal) in signals.iter().enumerate() {
        if i == signals.len() / 2 && fusion.restore(&json!({ "no such state": [1, "x"] })).is_ok() {
            return Err(violated("it took up a state that is none"));
        }
        fusion.push(signal);
    }
    fusion.advance(end, &mut all);
    fusion.finish(&mut all);
    Ok(all)
}

/// Checks each moment's life over these transitions, which are to be complete.
///
/// # Errors
/// `Internal`, saying what is wrong with which moment.
pub fn judge_lives(transitions: &[Moment]) -> Result<()> {
    let mut lives: HashMap<Arc<str>, &Moment> = HashMap::new();
    let mut decided = Timestamp::MIN;
    for moment in transitions {
        judge(moment)?;
        let what = |why: &str| violated(format!("a moment {why}: {moment:?}"));
        if moment.decided_at < decided {
            return Err(what("was decided before the one that was emitted before it"));
        }
        decided = moment.decided_at;
        let before = lives.insert(moment.id.clone(), moment);
        match before {
            None if moment.rev != 1 => return Err(what("begins with a revision that is not 1")),
            None if moment.is_final() => return Err(what("is over before it began")),
            None => {}
            Some(b) if b.is_final() => return Err(what("goes on after its end")),
            Some(b) if moment.rev != b.rev + 1 => return Err(what("skips a revision")),
            Some(b)
                if b.state == MomentState::Open
                    && !matches!(moment.state, MomentState::Open | MomentState::Closed) =>
            {
                return Err(what("was open and is neither open nor closed"));
            }
            Some(b) if b.state == MomentState::Provisional && moment.state == MomentState::Closed => {
                return Err(what("closes without having opened"));
            }
            Some(_) => {}
        }
    }
    match lives.values().find(|m| !m.is_final()) {
        Some(moment) => Err(violated(format!("a moment is undecided at the end: {moment:?}"))),
        None => Ok(()),
    }
}

fn judge(moment: &Moment) -> Result<()> {
    let sum: f64 = moment.evidence.iter().map(|e| e.contribution).sum();
    let finite = moment.score.is_finite()
        && moment.evidence.iter().all(|e| e.score.is_finite() && e.contribution.is_finite());
    let why = if !finite {
        "holds a number that is not finite"
    } else if moment.evidence.is_empty() {
        "has no evidence"
    } else if (sum - moment.score).abs() > 1e-3 {
        "has contributions that do not add up to its score"
    } else if moment.start >= moment.end {
        "ends before it starts"
    } else if moment.peak > moment.decided_at {
        "peaks after it was decided"
    } else if moment.label.is_empty() {
        "has no label"
    } else {
        return Ok(());
    };
    Err(violated(format!("a moment {why}: {moment:?}")))
}
