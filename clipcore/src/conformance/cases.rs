//! Deterministic inputs: the same on every machine for the same seed.

use std::sync::Arc;

use crate::detector::Signal;
use crate::event::media::{Audio16k, AudioWindow};
use crate::event::{
    AnyEvent, AudioLevel, ChatMessage, ChatSpike, Event, GameEvent, Header, Marker, PlatformEvent, Stamped,
};
use crate::{CameraId, StreamId, Timestamp};

/// The stream that all cases are about.
pub fn stream() -> StreamId {
    StreamId::new("conformance").unwrap_or_else(|_| unreachable!("a valid name"))
}

/// SplitMix64 (Steele et al. 2014): small, and good enough for test input.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` − 1; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n.max(1)
    }

    /// A number from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An exponentially distributed pause in microseconds, for events that come `rate` times a second.
    pub fn pause(&mut self, rate: f64) -> i64 {
        (-(1.0 - self.unit()).ln() / rate * 1e6) as i64
    }
}

fn header(at: Timestamp, n: usize) -> Header {
    Header::new(stream(), at, "conformance", format!("c{n:06}"))
}

fn wire<E: Event + serde::Serialize>(at: Timestamp, n: usize, data: E) -> AnyEvent {
    AnyEvent::wire(Stamped::new(header(at, n), data))
}

const WORDS: [&str; 12] = [
    "LUL",
    "hahaha",
    "PogChamp",
    "clip it",
    "nice one",
    "BibleThump",
    "hello there",
    "wtf",
    "what a game",
    "ㅋㅋㅋㅋ",
    "gg",
    "is this live",
];

/// Twelve minutes of every kind of wire event, in order: chat with bursts, a raid, a relay's reports,
/// levels, game events and markers; several at one instant, some on whole seconds, some before zero, one after
/// two hours of nothing.
pub fn events(seed: u64) -> Vec<AnyEvent> {
    let mut rng = Rng::new(seed);
    let (mut out, mut at) = (Vec::new(), -30_000_000i64);
    while at < 700_000_000 {
        let second = at.div_euclid(1_000_000);
        let burst = (second.rem_euclid(180) < 12) && second > 60;
        at += rng.pause(if burst { 9.0 } else { 1.2 });
        if rng.below(20) == 0 {
            at = at.div_euclid(1_000_000) * 1_000_000;
        }
        chat(&mut out, &mut rng, Timestamp::from_micros(at), burst);
        if rng.below(8) == 0 {
            other(&mut out, &mut rng, Timestamp::from_micros(at));
        }
    }
    for i in 0..40 {
        chat(&mut out, &mut rng, Timestamp::from_micros(9_000_000_000 + i * 400_000), true);
    }
    out.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    out
}

fn chat(out: &mut Vec<AnyEvent>, rng: &mut Rng, at: Timestamp, burst: bool) {
    let user = format!("u{}", rng.below(if burst { 300 } else { 60 }));
    let mood = if burst { 4 } else { WORDS.len() as u64 };
    let text = (rng.below(10) > 0).then(|| WORDS[rng.below(mood) as usize].into());
    let message = ChatMessage { user: user.into(), text, emotes: Arc::new([]), badges: Arc::new([]) };
    out.push(wire(at, out.len(), message));
}

fn other(out: &mut Vec<AnyEvent>, rng: &mut Rng, at: Timestamp) {
    let n = out.len();
    out.push(match rng.below(6) {
        0 => wire(at, n, ChatSpike { rate: 1.0 + 9.0 * rng.unit(), baseline: Some(1.5) }),
        1 => {
            let kind = ["raid", "gift_sub", "follow"][rng.below(3) as usize];
            wire(at, n, PlatformEvent { kind: kind.into(), count: Some(rng.below(500)) })
        }
        2 => {
            let label = (rng.below(2) == 0).then(|| "what a save".into());
            wire(at, n, Marker { label, by: None })
        }
        3 => wire(at, n, GameEvent { kind: "goal".into(), count: None, weight: Some(2.0) }),
        4 => wire(at, n, GameEvent { kind: "kill".into(), count: Some(1), weight: None }),
        _ => {
            let lufs = Some(-30.0 + 25.0 * rng.unit());
            wire(at, n, AudioLevel { rms: None, lufs, peak: None, window_ms: Some(400.0) })
        }
    });
}

/// Eighty seconds of sound with loud passages, in windows of uneven length: with a hole, a change of rate and of
/// the number of channels, digital silence, and samples that are not numbers.
pub fn audio(seed: u64) -> Vec<AnyEvent> {
    let mut rng = Rng::new(seed);
    let (mut out, mut at) = (Vec::new(), 250_000i64);
    while at < 80_000_000 {
        let (rate, channels) = if at < 50_000_000 { (16_000u32, 1u16) } else { (22_050, 2) };
        let frames = 200 + rng.below(4000);
        let second = at / 1_000_000;
        let gain = match second {
            20..23 | 45..48 | 70..75 => 0.5,
            30..33 => 0.0,
            _ => 0.03,
        };
        let mut samples: Vec<f32> =
            (0..frames * u64::from(channels)).map(|_| gain * (rng.unit() as f32 * 2.0 - 1.0)).collect();
        if rng.below(50) == 0 {
            samples[0] = f32::NAN;
        }
        let window = AudioWindow { rate, channels, samples: samples.into() };
        let start = Timestamp::from_micros(at);
        at = window.end(start).as_micros() + if second == 60 { 700_000 } else { 0 };
        let header = Header { camera: Some(CameraId::main()), ..header(start, out.len()) };
        out.push(AnyEvent::local(Stamped::new(header, window)));
    }
    out
}

/// Sound as taggers take it: 50 s in windows of uneven length, with loud passages, a hole, overlapping windows, silence and
/// samples that are not numbers.
pub fn audio_16k(seed: u64) -> Vec<AnyEvent> {
    let mut rng = Rng::new(seed);
    let (mut out, mut at) = (Vec::new(), 250_000i64);
    while at < 50_000_000 {
        let second = at / 1_000_000;
        let frames = if second == 42 { 40_000 } else { 800 + rng.below(8000) };
        let gain = match second {
            15..19 | 31..34 | 43..48 => 0.5,
            24..27 => 0.0,
            _ => 0.03,
        };
        let mut samples: Vec<f32> = (0..frames).map(|_| gain * (rng.unit() as f32 * 2.0 - 1.0)).collect();
        if rng.below(50) == 0 {
            samples[0] = f32::NAN;
        }
        let header =
            Header { camera: Some(CameraId::main()), ..header(Timestamp::from_micros(at), out.len()) };
        out.push(AnyEvent::local(Stamped::new(header, Audio16k { samples: samples.into() })));
        let length = frames as i64 * 1_000_000 / i64::from(Audio16k::RATE);
        at += match second {
            28 => length + 700_000,
            37 => length / 2,
            _ => length,
        };
    }
    out
}

/// Signals of known and unknown detectors, in order: sound with and without chat after it, chat alone,
/// markers, several at one instant, scores of every size, two cameras.
pub fn signals(seed: u64) -> Vec<Signal> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::new();
    let mut add = |detector: &str, label: &str, at: i64, onset: i64, score: f64, camera: Option<CameraId>| {
        let (at, onset) = (Timestamp::from_millis(at), Timestamp::from_millis(onset));
        out.push(Signal::new(stream(), camera, detector.into(), 1, label, at, onset, score));
    };
    for i in 0..30i64 {
        let at = 20_000 + i * 70_000 + rng.below(20_000) as i64;
        let second = at / 1000 * 1000;
        let (sound, talk) = (rng.below(3) > 0, rng.below(4) > 0);
        for j in 0..rng.below(40) as i64 {
            if sound {
                let camera = CameraId::new(["a", "b"][rng.below(2) as usize]).ok();
                add("loudness", "loud", at + 100 * j, at - 400, 8.0 * rng.unit(), camera);
            }
        }
        for j in 0..rng.below(25) as i64 {
            if talk {
                let (at, onset) = (second + 15_000 + 1000 * j, second + 12_000);
                add("chat_burst", "burst", at, onset, 8.0 * rng.unit(), None);
                add("chat_lexicon", ["funny", "hype"][(i % 2) as usize], at, onset, 6.0 * rng.unit(), None);
            }
        }
        if rng.below(5) == 0 {
            add("marker", "marker", at + 7_321, at + 7_321, 1.0, None);
        }
        add("somebody_elses", "thing", at + 333, at, 10.0 * rng.unit() - 3.0, None);
    }
    out.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    out.dedup_by(|a, b| a.id == b.id);
    out
}
