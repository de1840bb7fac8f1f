//! Chat: a trickle, eruptions a few seconds after each moment, and a raid that means nothing.

use serde_json::{Value, json};

use super::random::Random;
use super::{DISTRACTORS, MOMENTS, SECS, STREAM};

/// Messages a second when nothing happens.
const TRICKLE: f64 = 0.7;
/// How long viewers take: delay of the player, then reading and typing.
const DELAY: f64 = 3.5;

const IDLE: [&str; 10] = [
    "first time here",
    "what did I miss",
    "love this stream",
    "that pass was ok",
    "who is playing",
    "brb food",
    "how long is the match",
    "hello from Lisbon",
    "any predictions?",
    "keeper looks tired",
];
const HYPE: [&str; 10] = [
    "GOOOOAL",
    "WHAT A SHOT",
    "omg",
    "LETS GOOO",
    "no way",
    "clip that",
    "POG",
    "unreal",
    "did you see that",
    "!!!!!!",
];
const RAID: [&str; 4] = ["raid!", "hi everyone", "raiders say hello", "hello hello"];

/// JSON lines in order of time.
pub(super) fn lines(seed: u64) -> String {
    let mut random = Random::new(seed, "chat");
    let mut events: Vec<(f64, Value)> = Vec::new();
    let mut say = |random: &mut Random, at: f64, texts: &[&str], crowd: f64| {
        let user = format!("viewer{:03}", random.between(0.0, crowd) as u32);
        let text = *random.pick(texts);
        events.push((at, json!({ "type": "chat.message", "data": { "user": user, "text": text } })));
    };

    let mut at = random.wait(TRICKLE);
    while at < f64::from(SECS) {
        say(&mut random, at, &IDLE, 60.0);
        at += random.wait(TRICKLE);
    }
    for moment in MOMENTS {
        // Up within two seconds, then falling to a third every three.
        let peak = random.between(9.0, 13.0);
        let begin = moment.start + DELAY;
        let mut at = begin + random.wait(peak);
        while at < begin + 12.0 {
            let age = at - begin;
            let rate = peak * (age / 2.0).min(1.0) * (-(age - 2.0).max(0.0) / 2.7).exp();
            if random.unit() * peak < rate {
                say(&mut random, at, &HYPE, 400.0);
            }
            at += random.wait(peak);
        }
    }
    let raid = DISTRACTORS[1];
    let mut at = raid.start + random.wait(9.0);
    while at < raid.end {
        say(&mut random, at, &RAID, 250.0);
        at += random.wait(9.0);
    }
    events.push((raid.start, json!({ "type": "platform.event", "data": { "kind": "raid", "count": 250 } })));

    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut text = String::new();
    for (i, (at, mut event)) in events.into_iter().enumerate() {
        event["stream"] = STREAM.into();
        event["id"] = format!("demo-{i}").into();
        event["at"] = ((at * 1000.0).round() / 1000.0).into();
        text.push_str(&event.to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clipcore::event::{ChatMessage, Kinds};

    use super::*;

    fn times(text: &str) -> Vec<f64> {
        let kinds = Kinds::builtin();
        let event = |line: &str| kinds.parse(line.as_bytes()).unwrap().resolve(&mut |_| None).unwrap();
        let events = text.lines().map(event);
        events.filter(|e| e.payload::<ChatMessage>().is_some()).map(|e| e.at().as_secs_f64()).collect()
    }

    #[test]
    fn chat_erupts_after_each_moment_and_not_at_it() {
        for seed in 1..6 {
            let times = times(&lines(seed));
            let rate = |from: f64, to: f64| {
                times.iter().filter(|&&t| from <= t && t < to).count() as f64 / (to - from)
            };
            assert!(times.is_sorted());
            for m in MOMENTS {
                let (before, after) =
                    (rate(m.start - 8.0, m.start + 3.0), rate(m.start + 4.0, m.start + 9.0));
                assert!(after > 4.0 && after > 3.0 * before, "seed {seed}: {before} → {after} a second");
            }
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(lines(7), lines(7));
        assert_ne!(lines(7), lines(8));
    }
}
