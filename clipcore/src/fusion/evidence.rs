use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::active::{Active, Weighed};
use super::bounds::ChatDelay;
use super::decision::Budget;
use super::memory::{Item, Memory};
use super::{Fusion, FusionSetup, Moment, MomentState, Role, moment_id};
use crate::detector::Signal;
use crate::{Error, Result, StreamId, Timestamp};

/// Fuses calibrated evidence that it remembers.
///
/// At every tick `t` of stream time the log-odds of a moment are
///
/// ```text
/// L(t) = bias + Σ_groups weight · max over the group's signals of LLR(score)·h(t − at)
/// ```
///
/// where `LLR` is the signal's calibrated log-likelihood ratio, clipped, and `h` is 1 while the group's
/// evidence is held and then fades exponentially. Sound is held for about 35 s, so that chat, which comes
/// some 20 s late, can confirm it. Signals with one cause share a group and count once.
///
/// - Fast evidence (sound, faces, game) above `provisional` makes a moment *provisional*; late evidence
///   (chat) that lifts L above `enter`, or fast evidence that stays above it, *opens* it; otherwise it is
///   *dropped*. Chat alone opens a moment; a marker does so at once.
/// - An open moment *closes* when fresh evidence has stayed below `enter − hysteresis` for `quiet`, or after
///   `max_length`. For `refractory` after its peak chat is not heard, since it still speaks of it: the next moment
///   opens then, and only after evidence has fallen below the exit threshold, so that one long roar is one moment. Fast
///   evidence that began after the close is another happening and need not wait.
/// - It starts at the fast onset that chat most likely speaks of, or, with chat alone, where the burst's rise and its
///   peak, each less the chat delay, point to on average. The delay is learned from the stream's own moments that had both.
/// - The evidence of a moment is each group's strongest signal at the peak, and the prior (`fusion`/`prior`, the
///   bias) last; the contributions add up to the score. A signal that only names the moment is listed with
///   contribution 0.
///
/// A signal costs amortised O(1), a tick O(groups); while nothing is remembered, time costs nothing.
#[derive(Debug, Clone)]
pub struct EvidenceFusion {
    stream: StreamId,
    setup: Arc<FusionSetup>,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Signals that no tick has seen yet.
    pending: VecDeque<Signal>,
    memories: Vec<Memory>,
    naming: Memory,
    /// The last tick that was decided; `idle` says that nothing is remembered since.
    last_tick: Option<Timestamp>,
    idle: bool,
    active: Option<Active>,
    /// When the last moment closed, and until when late evidence may still speak of it.
    closed: Option<(Timestamp, Timestamp)>,
    /// Evidence has been low since the last moment.
    armed: bool,
    budget: Budget,
    delay: ChatDelay,
}

impl EvidenceFusion {
    /// A fusion for one stream; see [`FusionConfig::setup`](super::FusionConfig::setup).
    pub fn new(stream: StreamId, setup: Arc<FusionSetup>) -> Self {
        let state = State {
            pending: VecDeque::new(),
            memories: vec![Memory::default(); setup.groups.len()],
            naming: Memory::default(),
            last_tick: None,
            idle: true,
            active: None,
            closed: None,
            armed: true,
            budget: Budget::default(),
            delay: ChatDelay::default(),
        };
        Self { stream, setup, state }
    }

    /// The next tick that has anything to decide.
    fn next_tick(&self) -> Option<Timestamp> {
        let step = self.setup.weights.decision.tick;
        let after_last = self.state.last_tick.map(|t| t + step);
        if !self.state.idle {
            return after_last;
        }
        let first = self.state.pending.front()?.at;
        let tick = first.offset_micros(-1).next_multiple(step);
        Some(after_last.map_or(tick, |after| after.max(tick)))
    }

    fn run(&mut self, now: Timestamp, out: &mut Vec<Moment>) {
        while self.state.pending.front().is_some_and(|s| s.at <= now) {
            if let Some(signal) = self.state.pending.pop_front() {
                self.absorb(&signal);
            }
        }
        self.state.last_tick = Some(now);
        for (group, memory) in self.setup.groups.iter().zip(&mut self.state.memories) {
            memory.advance(now, group);
        }
        self.state.naming.advance(now, &self.setup.naming);
        let mut weighed = Weighed::new(&self.setup, &self.state.memories, now);
        self.state.armed |= self.state.active.is_none() && weighed.fresh < self.setup.weights.decision.exit();
        if self.refractory(now).is_some() {
            weighed = weighed.without_late();
        }
        match self.state.active.take() {
            None => self.begin(&weighed, now, out),
            Some(active) => self.follow(active, &weighed, now, out),
        }
        self.state.idle = self.state.active.is_none()
            && self.state.naming.is_empty()
            && self.state.memories.iter().all(Memory::is_empty);
        if self.state.idle {
            self.state.armed = true;
            self.rest();
        }
    }

    /// Nothing is remembered: gives memory back, since most streams are quiet most of the time.
    fn rest(&mut self) {
        self.state.memories.iter_mut().for_each(Memory::shrink);
        self.state.naming.shrink();
        if self.state.pending.is_empty() {
            self.state.pending.shrink_to_fit();
        }
    }

    fn absorb(&mut self, signal: &Signal) {
        let calibrated = self.setup.calibrate(&signal.detector, &signal.label, signal.score);
        let Some((group, llr, describes)) = calibrated else { return };
        let item = Item::new(signal, llr);
        if describes {
            // What was heard or seen names a moment before what chat makes of it.
            let first =
                if self.setup.groups[group].role == Role::Late { 0.0 } else { self.setup.weights.max_llr };
            self.state.naming.push(Item { llr: llr + first, ..item.clone() });
        }
        if self.setup.groups[group].weight > 0.0 {
            self.state.memories[group].push(item);
        }
    }

    /// When the last moment closed, while its refractory time lasts.
    fn refractory(&self, now: Timestamp) -> Option<Timestamp> {
        self.state.closed.filter(|(_, until)| now < *until).map(|(closed, _)| closed)
    }

    /// Without a moment: is there one now?
    fn begin(&mut self, weighed: &Weighed, now: Timestamp, out: &mut Vec<Moment>) {
        let decision = &self.setup.weights.decision;
        let wished = weighed.decisive > 0.0;
        let allowed = match self.refractory(now) {
            // What was heard or seen after the last moment is another happening; what chat says need not be.
            Some(closed) => weighed.fast_onset.is_some_and(|onset| onset > closed),
            None => self.state.armed,
        };
        if !wished && !allowed {
            return;
        }
        let margin = self.state.budget.margin(self.setup.clips_per_hour, now);
        let opens = wished || (weighed.late > 0.0 && weighed.total >= decision.enter + margin);
        let fast_alone = self.setup.weights.bias + weighed.fast;
        if !opens && (weighed.fast <= 0.0 || fast_alone < decision.provisional + margin) {
            return;
        }
        let mut active = Active::new(moment_id(&self.stream, now), now, self.state.closed.map(|(at, _)| at));
        active.observe(&self.setup, &self.state.memories, &self.state.naming, weighed, now);
        if opens {
            self.open(active, wished, now, out);
        } else {
            self.emit(active, MomentState::Provisional, now, out);
        }
    }

    fn open(&mut self, mut active: Active, wished: bool, now: Timestamp, out: &mut Vec<Moment>) {
        active.opened = Some(now);
        active.last_above = now;
        if !wished {
            self.state.budget.opened(self.setup.clips_per_hour, now);
        }
        self.emit(active, MomentState::Open, now, out);
    }

    /// With a moment: how does it go on?
    fn follow(&mut self, mut active: Active, weighed: &Weighed, now: Timestamp, out: &mut Vec<Moment>) {
        active.observe(&self.setup, &self.state.memories, &self.state.naming, weighed, now);
        let decision = &self.setup.weights.decision;
        let Some(opened) = active.opened else {
            let margin = self.state.budget.margin(self.setup.clips_per_hour, now);
            let enter = decision.enter + margin;
            if self.setup.weights.bias + weighed.fast >= enter {
                active.sustained += decision.tick;
            }
            let wished = weighed.decisive > 0.0;
            let confirmed = weighed.late > 0.0 && weighed.total >= enter;
            let waited = now.micros_since(active.last_fast.unwrap_or(active.since));
            let too_long = now >= active.since + decision.max_length + decision.confirm_within;
            if wished || confirmed || active.sustained >= decision.sustain {
                self.open(active, wished, now, out);
            } else if too_long || waited >= decision.confirm_within.as_micros() as i64 {
                self.state.armed = false;
                self.emit(active, MomentState::Dropped, now, out);
            } else {
                self.state.active = Some(active);
            }
            return;
        };
        if now >= active.last_above + decision.quiet || now >= opened + decision.max_length {
            self.close(active, now, out);
        } else {
            self.state.active = Some(active);
        }
    }

    fn close(&mut self, active: Active, now: Timestamp, out: &mut Vec<Moment>) {
        self.state.closed = Some((now, active.peak + self.setup.weights.decision.refractory));
        self.state.armed = false;
        let lesson = active.lesson(&self.setup.weights.bounds);
        self.emit(active, MomentState::Closed, now, out);
        if let Some((onset, peak)) = lesson {
            self.state.delay.learn(onset, peak);
        }
    }

    fn emit(&mut self, mut active: Active, state: MomentState, now: Timestamp, out: &mut Vec<Moment>) {
        let moment = active.transition(state, &self.stream, &self.setup, &self.state.delay, now);
        if !moment.is_final() {
            self.state.active = Some(active);
        }
        out.push(moment);
    }
}

impl Fusion for EvidenceFusion {
    fn push(&mut self, signal: &Signal) {
        if signal.score.is_finite() {
            self.state.pending.push_back(signal.clone());
        }
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Moment>) {
        while let Some(tick) = self.next_tick()
            && tick < watermark
        {
            self.run(tick, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<Moment>) {
        // The end is infinity: ticks go on until everything has faded, so that it does not matter how far the
        // watermark had come. Evidence that is held may still open a moment once the refractory time is over.
        while (!self.state.idle || !self.state.pending.is_empty())
            && let Some(tick) = self.next_tick()
        {
            self.run(tick, out);
        }
    }

    fn snapshot(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.state)?)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state = State::deserialize(state)
            .map_err(|e| Error::invalid("this is not a state of evidence fusion").with_source(e))?;
        if state.memories.len() != self.setup.groups.len() {
            return Err(Error::invalid("this state was made with weights of other groups")
                .with_hint("start with the weights that the state was made with, or without the state"));
        }
        self.state = state;
        Ok(())
    }
}
