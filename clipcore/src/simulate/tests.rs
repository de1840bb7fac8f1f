use std::collections::{BTreeMap, HashSet};

use super::chat::Cause;
use super::*;
use crate::eval::Counts;
use crate::event::{ChatMessage, Kinds};

fn hours(n: f64) -> Scenario {
    Scenario { length: n * 3600.0, ..Scenario::default() }
}

#[test]
fn everything_follows_from_the_seed() {
    let scenario = Scenario { signals: Some(SignalsConfig::default()), clocks: true, ..hours(0.5) };
    let lines = |s: &Scenario| s.run().unwrap().lines().unwrap();
    assert_eq!(lines(&scenario), lines(&scenario.clone()));
    assert_ne!(lines(&scenario), lines(&Scenario { seed: 2, ..scenario.clone() }));
    // Another disturbance leaves the rest alone: the same highlights, the same talk.
    let raided =
        Scenario { chat: ChatConfig { raids_per_hour: 6.0, ..ChatConfig::default() }, ..scenario.clone() };
    assert_eq!(raided.run().unwrap().labels, scenario.run().unwrap().labels);
}

#[test]
fn chat_outside_highlights_is_over_dispersed_as_asked() {
    for fano in [2.5, 6.4] {
        let scenario = Scenario { chat: ChatConfig { fano, ..ChatConfig::default() }, ..hours(20.0) };
        let highlights = scenario.highlights.sample(scenario.length, &mut Rng::new(4));
        let chat = scenario.chat.sample(&highlights, scenario.length, 9);
        let mut counts = Counts::default();
        let outside = |t: f64| !highlights.iter().any(|h| (h.start..h.end + 60.0).contains(&t));
        chat.messages
            .iter()
            .filter(|m| outside(m.0))
            .for_each(|m| counts.add(Timestamp::from_millis((m.0 * 1e3) as i64)));
        // Only windows that lie outside whole: those in highlights were emptied above.
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (i, window) in counts.per_second().chunks_exact(10).enumerate() {
            if outside(10.0 * i as f64) && outside(10.0 * i as f64 + 9.99) {
                let x = f64::from(window.iter().sum::<u32>());
                (n, sum, squares) = (n + 1.0, sum + x, squares + x * x);
            }
        }
        let mean: f64 = sum / n;
        let measured = (squares / n - mean * mean) / mean;
        assert!((measured / fano - 1.0).abs() < 0.15, "Fano {measured}, asked for {fano}");
        assert!((mean / 10.0 - 2.0).abs() < 0.1, "rate {}", mean / 10.0);
    }
}

#[test]
fn highlights_lift_chat_late_and_as_much_as_measured_on_real_streams() {
    let scenario = hours(60.0);
    let highlights = scenario.highlights.sample(scenario.length, &mut Rng::new(2));
    assert!(
        (highlights.len() as f64 / 60.0 - 20.0).abs() < 1.5,
        "{} an hour",
        highlights.len() as f64 / 60.0
    );
    let silent = highlights.iter().filter(|h| h.lift == 0.0).count() as f64 / highlights.len() as f64;
    assert!((0.2..0.3).contains(&silent), "{silent} unanswered");
    let chat = scenario.chat.sample(&highlights, scenario.length, 3);
    let mut counts = Counts::default();
    chat.messages.iter().for_each(|m| counts.add(Timestamp::from_millis((m.0 * 1e3) as i64)));
    // The mean rate in 5 s steps from the start on, in usual rates.
    let level = |offset: usize| {
        let of = |h: &highlights::Highlight| {
            counts.per_second().iter().skip(h.start as usize + offset).take(5).sum::<u32>()
        };
        highlights.iter().map(|h| f64::from(of(h))).sum::<f64>() / highlights.len() as f64 / 5.0 / 2.0
    };
    let kernel: Vec<f64> = (0..12).map(|i| level(5 * i)).collect();
    let peak = (0..12).max_by(|a, b| kernel[*a].total_cmp(&kernel[*b])).unwrap();
    assert!((3..=4).contains(&peak), "the peak lies 15–25 s after the start: {kernel:?}");
    assert!((1.6..1.9).contains(&kernel[peak]), "{kernel:?}");
    assert!(kernel[0] < 1.1 && kernel[11] < 1.1, "{kernel:?}");
}

#[test]
fn disturbances_are_what_they_are_called() {
    let chat = ChatConfig {
        raids_per_hour: 2.0,
        spam_per_hour: 3.0,
        ads_per_hour: 3.0,
        silences_per_hour: 2.0,
        latency_steps_per_hour: 4.0,
        skew_ppm: 100.0,
        ..ChatConfig::default()
    };
    let scenario = Scenario { chat, ..hours(10.0) };
    let simulation = scenario.run().unwrap();
    let platform = |kind: &str| {
        let events = simulation.events.iter().filter_map(|e| e.payload::<PlatformEvent>());
        events.filter(|p| *p.kind == *kind).count()
    };
    assert!((8..=35).contains(&platform("raid")), "{} raids", platform("raid"));
    assert!((15..=50).contains(&platform("ad_start")), "{} advertisements", platform("ad_start"));
    assert!(platform("ad_start") - platform("ad_end") <= 1, "each ends, but for the last");
    let mut spam: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for m in simulation.events.iter().filter_map(|e| e.payload::<ChatMessage>()) {
        let text = m.text.as_deref().unwrap();
        if text.contains("FOLLOWERS") {
            spam.entry(text).or_default().insert(&m.user);
        }
    }
    // A wave in a silence is hardly seen, so not every one shows all three users.
    let full = spam.values().filter(|users| users.len() == 3).count();
    assert!(full > 15 && spam.values().all(|users| users.len() <= 3), "{full} of {} waves", spam.len());

    let times = scenario.chat.sample(&[], scenario.length, 5);
    let quiet = |t: &f64| times.messages.iter().filter(|m| (*t..t + 100.0).contains(&m.0)).count() < 20;
    let silences = (0..360).map(|i| f64::from(i) * 100.0).filter(quiet).count();
    assert!((5..60).contains(&silences), "{silences} quiet stretches of 100 s");
    let lags: Vec<f64> = (0..36_000).map(|t| times.told(f64::from(t)) - f64::from(t)).collect();
    let jumps = lags.windows(2).filter(|w| (w[1] - w[0]).abs() > 0.01).count();
    assert!((20..70).contains(&jumps), "{jumps} latency steps");
    let drift: f64 = times.told(20_000.001) - times.told(20_000.0);
    assert!((drift / 0.001 - 1.0001).abs() < 1e-6, "100 ppm fast");
    assert!(times.messages.iter().any(|m| matches!(m.1, Cause::Raid(_))));
}

#[test]
fn arrival_is_disordered_inside_the_lateness_and_clocks_never_overtake() {
    let simulation = Scenario { clocks: true, ..hours(0.5) }.run().unwrap();
    let ats: Vec<Timestamp> =
        simulation.events.iter().filter(|e| e.kind() == "chat.message").map(AnyEvent::at).collect();
    assert!(ats.windows(2).any(|w| w[1] < w[0]));
    let mut clock = Timestamp::MIN;
    for event in &simulation.events {
        match event.payload::<Clock>() {
            Some(_) => clock = event.at(),
            None => assert!(event.at() >= clock - std::time::Duration::from_secs(2), "{event:?}"),
        }
    }
    assert!(simulation.events.last().unwrap().payload::<Clock>().unwrap().end);
}

#[test]
fn detectors_hit_and_err_as_often_as_configured_and_loudness_follows_the_tagger() {
    let scenario = Scenario { signals: Some(SignalsConfig::default()), ..hours(60.0) };
    let simulation = scenario.run().unwrap();
    let near = |detector: &str, at: f64| {
        simulation
            .signals
            .iter()
            .any(|s| *s.detector == *detector && (at..at + 11.0).contains(&s.at.as_secs_f64()))
    };
    let hits: Vec<(bool, bool, bool)> = simulation
        .labels
        .iter()
        .map(|l| l.start.as_secs_f64())
        .map(|at| (near("audio_tagger", at), near("loudness", at), near("face", at)))
        .collect();
    let share = |f: &dyn Fn(&(bool, bool, bool)) -> bool| {
        hits.iter().filter(|h| f(h)).count() as f64 / hits.len() as f64
    };
    let (tagger, loud, face) = (share(&|h| h.0), share(&|h| h.1), share(&|h| h.2));
    assert!((tagger - 0.7).abs() < 0.06, "tagger {tagger}");
    assert!((face - 0.5).abs() < 0.06, "face {face}");
    let (together, by_chance) = (share(&|h| h.0 && h.1), tagger * loud);
    assert!(together > by_chance + 0.05, "loudness must depend on the tagger: {together} {by_chance}");
    assert!((share(&|h| h.0 && h.2) - tagger * face).abs() < 0.04, "faces must not");
    // Runs of signals that no highlight explains.
    let mut errors = 0;
    let mut last = f64::MIN;
    for s in simulation.signals.iter().filter(|s| &*s.detector == "audio_tagger") {
        let at = s.at.as_secs_f64();
        let explained = simulation.labels.iter().any(|l| (0.0..11.0).contains(&(at - l.start.as_secs_f64())));
        if !explained && at - last > 2.0 {
            errors += 1;
        }
        last = at;
    }
    assert!((f64::from(errors) / 60.0 - 10.0).abs() < 2.0, "{} errors an hour", f64::from(errors) / 60.0);
}

#[test]
fn the_lines_are_records_that_a_replay_reads() {
    let scenario = Scenario { signals: Some(SignalsConfig::default()), clocks: true, ..hours(0.2) };
    let simulation = scenario.run().unwrap();
    let kinds = Kinds::builtin();
    let lines = simulation.lines().unwrap();
    assert_eq!(lines.len(), simulation.events.len() + simulation.signals.len());
    for line in lines {
        assert_eq!(Record::from_json(line.as_bytes(), &kinds).unwrap().to_json().unwrap(), line);
    }
}

#[test]
fn settings_out_of_range_name_their_key() {
    for (key, scenario) in [
        ("length", Scenario { length: f64::NAN, ..Scenario::default() }),
        (
            "chat.fano",
            Scenario { chat: ChatConfig { fano: 0.5, ..ChatConfig::default() }, ..Scenario::default() },
        ),
        ("not a stream id", Scenario { stream: "../x".into(), ..Scenario::default() }),
    ] {
        let error = scenario.run().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
