use serde::{Deserialize, Serialize};

use super::hawkes::Hawkes;
use super::highlights::Highlight;
use crate::rng::Rng;

/// How chat behaves between highlights, and what disturbs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatConfig {
    /// Usual messages a second; live streams have 0.4–5.
    pub rate: f64,
    /// Variance over mean of the counts in 10 s outside highlights; live streams have 2.5–6.4, 1 is Poisson.
    pub fano: f64,
    /// Mean time until a message is answered, seconds.
    pub decay: f64,
    /// Raids an hour: a `platform.event`, and a crowd of strangers who all write at once.
    pub raids_per_hour: f64,
    /// Spam waves an hour: three users who repeat one text, four times a second for 20 s.
    pub spam_per_hour: f64,
    /// Advertisements an hour: `platform.event`s at their start and end, half a minute to a minute and a half apart, and
    /// chat that complains of them.
    pub ads_per_hour: f64,
    /// Silences an hour: two minutes with hardly a message.
    pub silences_per_hour: f64,
    /// Times an hour at which chat's delay against the media jumps to another value.
    pub latency_steps_per_hour: f64,
    /// The largest such delay, seconds.
    pub max_latency: f64,
    /// How fast chat's clock runs against the media's, parts per million.
    pub skew_ppm: f64,
    /// Messages arrive up to this much after their instant, seconds, so that they overtake each other. The default
    /// stays inside the engine's usual lateness of 2 s.
    pub jitter: f64,
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            rate: 2.0,
            fano: 4.0,
            decay: 8.0,
            raids_per_hour: 0.0,
            spam_per_hour: 0.0,
            ads_per_hour: 0.0,
            silences_per_hour: 0.0,
            latency_steps_per_hour: 0.0,
            max_latency: 8.0,
            skew_ppm: 0.0,
            jitter: 1.5,
        }
    }
}

/// Who or what made a message be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Talk,
    /// Index into the highlights.
    Highlight(usize),
    /// Index into the raids.
    Raid(usize),
    /// Index into the spam waves.
    Spam(usize),
    Ad,
}

/// The instants of a simulated chat, in media time and as chat's clock tells them.
#[derive(Debug)]
pub(super) struct ChatTimes {
    /// (media seconds, cause), sorted.
    pub(super) messages: Vec<(f64, Cause)>,
    /// Media seconds of the raids' announcements.
    pub(super) raids: Vec<f64>,
    /// Media seconds at which advertisements begin and end.
    pub(super) ads: Vec<(f64, f64)>,
    /// From which media second on chat is this late; sorted.
    latency: Vec<(f64, f64)>,
    skew: f64,
}

impl ChatConfig {
    pub(super) fn sample(&self, highlights: &[Highlight], length: f64, seed: u64) -> ChatTimes {
        let rng = |part: &str| Rng::fork(seed, part);
        let talk = Hawkes::with_fano(self.rate, self.fano, 10.0, self.decay).sample(length, &mut rng("talk"));
        let mut messages: Vec<(f64, Cause)> = talk.into_iter().map(|t| (t, Cause::Talk)).collect();
        let mut answers = rng("highlights");
        for (i, highlight) in highlights.iter().enumerate() {
            let times = highlight.response(self.rate, &mut answers);
            messages.extend(times.into_iter().map(|t| (t, Cause::Highlight(i))));
        }
        let mut crowd = rng("raids");
        let raids = at_random(self.raids_per_hour, length, &mut crowd);
        for (i, &at) in raids.iter().enumerate() {
            let n = crowd.poisson(90.0 * self.rate.max(1.0));
            messages.extend((0..n).map(|_| (at + 1.0 + crowd.exponential(15.0), Cause::Raid(i))));
        }
        let mut bots = rng("spam");
        for (i, at) in at_random(self.spam_per_hour, length, &mut bots).into_iter().enumerate() {
            messages.extend((0..80).map(|k| (at + f64::from(k) * 0.25, Cause::Spam(i))));
        }
        let mut break_time = rng("ads");
        let ads: Vec<(f64, f64)> = at_random(self.ads_per_hour, length, &mut break_time)
            .into_iter()
            .map(|at| (at, at + break_time.between(30.0, 90.0)))
            .collect();
        for (at, _) in &ads {
            let n = break_time.poisson(40.0 * self.rate);
            messages.extend((0..n).map(|_| (at + 1.0 + break_time.exponential(8.0), Cause::Ad)));
        }
        let mut hush = rng("silence");
        let silences = at_random(self.silences_per_hour, length, &mut hush);
        messages.retain(|(t, _)| {
            (0.0..length).contains(t)
                && (!silences.iter().any(|s| (*s..s + 120.0).contains(t)) || hush.chance(0.02))
        });
        messages.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut steps = rng("latency");
        let latency = at_random(self.latency_steps_per_hour, length, &mut steps)
            .into_iter()
            .map(|at| (at, steps.between(0.0, self.max_latency)))
            .collect();
        ChatTimes { messages, raids, ads, latency, skew: self.skew_ppm * 1e-6 }
    }
}

impl ChatTimes {
    /// The instant that chat's clock gives to a media instant.
    pub(super) fn told(&self, media: f64) -> f64 {
        let step = self.latency.iter().rev().find(|(from, _)| *from <= media);
        (media + step.map_or(0.0, |(_, latency)| *latency)) * (1.0 + self.skew)
    }
}

/// Instants of a Poisson process in [0, length), sorted.
fn at_random(per_hour: f64, length: f64, rng: &mut Rng) -> Vec<f64> {
    if per_hour <= 0.0 {
        return Vec::new();
    }
    let next = || rng.exponential(3600.0 / per_hour);
    std::iter::repeat_with(next)
        .scan(0.0, |t, gap| {
            *t += gap;
            Some(*t)
        })
        .take_while(|t| *t < length)
        .collect()
}
