//! What the shipped fusion decides, with the shipped weights.

use clipcore::conformance::fusion::judge_lives;
use clipcore::detector::Signal;
use clipcore::fusion::{EvidenceFusion, Fusion, FusionConfig, Moment, MomentState, moment_id};
use clipcore::{StreamId, Timestamp};

fn stream() -> StreamId {
    StreamId::new("s").unwrap()
}

/// `secs` seconds of one signal, `hz` a second.
fn run_of(detector: &str, label: &str, from: f64, secs: f64, hz: f64, score: f64) -> Vec<Signal> {
    let time = |s: f64| Timestamp::try_from_secs_f64(s).unwrap();
    (0..(secs * hz) as u32)
        .map(|i| {
            let at = from + f64::from(i) / hz;
            Signal::new(stream(), None, detector.into(), 1, label, time(at), time(from), score)
        })
        .collect()
}

fn chat(from: f64, score: f64) -> Vec<Signal> {
    run_of("chat_burst", "burst", from, 10.0, 1.0, score)
}

fn loud(from: f64, score: f64) -> Vec<Signal> {
    run_of("loudness", "loud", from, 1.0, 10.0, score)
}

fn moments_with(config: FusionConfig, signals: impl IntoIterator<Item = Vec<Signal>>) -> Vec<Moment> {
    let mut signals: Vec<_> = signals.into_iter().flatten().collect();
    signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let mut fusion = EvidenceFusion::new(stream(), config.setup().unwrap());
    let mut out = Vec::new();
    for signal in &signals {
        fusion.push(signal);
    }
    fusion.finish(&mut out);
    judge_lives(&out).unwrap();
    out
}

fn moments(signals: impl IntoIterator<Item = Vec<Signal>>) -> Vec<Moment> {
    moments_with(FusionConfig::default(), signals)
}

fn states(moments: &[Moment]) -> Vec<MomentState> {
    moments.iter().map(|m| m.state).collect()
}

fn secs(t: Timestamp) -> f64 {
    t.as_secs_f64()
}

use MomentState::{Closed, Dropped, Open, Provisional};

#[test]
fn chat_alone_opens_a_moment_that_started_before_chat_did() {
    let found = moments([chat(100.0, 9.0)]);
    assert_eq!(states(&found), [Open, Closed]);
    let (opened, closed) = (&found[0], &found[1]);
    assert_eq!(opened.id, moment_id(&stream(), opened.decided_at));
    assert!((100.0..101.0).contains(&secs(opened.decided_at)), "it opens at once");
    assert!((100.0..110.0).contains(&secs(closed.peak)), "the peak is not shifted");
    assert!(secs(closed.start) < 90.0, "the start is: {}", secs(closed.start));
    assert!(secs(closed.end) - secs(closed.start) <= 60.0);
}

#[test]
fn weak_evidence_is_no_moment() {
    assert_eq!(moments([chat(100.0, 1.2), loud(300.0, 1.2)]), []);
}

#[test]
fn sound_is_provisional_until_chat_confirms_it() {
    let found = moments([loud(100.0, 6.0), chat(118.0, 3.4)]);
    assert_eq!(states(&found), [Provisional, Open, Closed]);
    assert!(secs(found[0].decided_at) <= 102.5);
    assert!((118.0..122.0).contains(&secs(found[1].decided_at)));
    assert!((90.0..=100.0).contains(&secs(found[2].start)), "{}", secs(found[2].start));
    for part in ["loudness", "chat_burst", "fusion"] {
        assert!(found[2].evidence.iter().any(|e| &*e.detector == part), "{part} is not named");
    }
}

#[test]
fn sound_that_nobody_reacts_to_is_dropped() {
    let found = moments([loud(100.0, 6.0), chat(240.0, 1.0)]);
    assert_eq!(states(&found), [Provisional, Dropped]);
    assert!((130.0..140.0).contains(&secs(found[1].decided_at)), "{}", secs(found[1].decided_at));
}

#[test]
fn very_strong_sound_that_lasts_needs_no_chat() {
    let found = moments([run_of("loudness", "loud", 100.0, 6.0, 10.0, 12.0)]);
    assert_eq!(states(&found), [Provisional, Open, Closed]);
    let closed = &found[2];
    assert!(secs(closed.start) <= 100.0 && secs(closed.end) >= 106.0, "{closed:?}");
}

#[test]
fn sound_is_remembered_so_that_weaker_chat_suffices() {
    let weak = 2.4;
    assert_eq!(moments([chat(118.0, weak)]), []);
    assert!(states(&moments([loud(100.0, 7.0), chat(118.0, weak)])).contains(&Open));
    assert!(!states(&moments([loud(20.0, 7.0), chat(118.0, weak)])).contains(&Open), "but not for ever");
}

#[test]
fn a_marker_opens_at_once_and_reaches_back() {
    let found = moments([run_of("marker", "ace", 100.2, 1.0, 1.0, 1.0)]);
    assert_eq!(states(&found), [Open, Closed]);
    assert!(secs(found[0].decided_at) <= 100.5);
    assert_eq!(&*found[1].label, "ace");
    assert!(secs(found[1].start) <= 90.2 && secs(found[1].end) > 100.2);
}

#[test]
fn the_lexicon_names_a_moment_of_chat() {
    let funny = run_of("chat_lexicon", "funny", 101.0, 8.0, 1.0, 4.0);
    let hype = run_of("chat_lexicon", "hype", 101.0, 8.0, 1.0, 2.0);
    let found = moments([chat(100.0, 9.0), funny, hype]);
    assert_eq!(&*found.last().unwrap().label, "funny");
    assert!(found.last().unwrap().evidence.iter().any(|e| &*e.label == "funny"));
    assert_eq!(&*moments([chat(100.0, 9.0)])[1].label, "burst");
}

#[test]
fn bursts_close_to_each_other_are_one_moment_and_far_ones_are_two() {
    let opened = |gap: f64| {
        let found = moments([chat(100.0, 9.0), chat(100.0 + gap, 9.0)]);
        states(&found).iter().filter(|s| **s == Open).count()
    };
    assert_eq!((opened(12.0), opened(90.0)), (1, 2));
    let none = FusionConfig { refractory: Some(std::time::Duration::ZERO), ..FusionConfig::default() };
    let found = moments_with(none, [chat(100.0, 9.0), chat(130.0, 9.0)]);
    assert_eq!(states(&found), [Open, Closed, Open, Closed]);
}

#[test]
fn a_roar_without_end_is_one_moment_of_bounded_length() {
    let found = moments([
        run_of("chat_burst", "burst", 100.0, 3600.0, 1.0, 9.0),
        run_of("loudness", "loud", 90.0, 3600.0, 2.0, 12.0),
    ]);
    assert_eq!(states(&found).iter().filter(|s| **s == Closed).count(), 1);
    assert!(secs(found.last().unwrap().decided_at) < 200.0);
}

#[test]
fn a_budget_bounds_the_clips_of_an_hour() {
    let hour = || (0..60).map(|i| chat(30.0 + 60.0 * f64::from(i), 9.0));
    let opened = |clips_per_hour| {
        let config = FusionConfig { clips_per_hour, ..FusionConfig::default() };
        states(&moments_with(config, hour())).iter().filter(|s| **s == Open).count()
    };
    assert!(opened(None) >= 55);
    assert!((4..=12).contains(&opened(Some(6.0))), "{}", opened(Some(6.0)));
}

#[test]
fn the_delay_of_chat_is_learned_from_moments_that_were_heard_too() {
    let both = (0..8).flat_map(|i| {
        let at = 1000.0 + 200.0 * f64::from(i);
        [loud(at, 8.0), run_of("chat_burst", "burst", at + 8.0, 1.0, 1.0, 9.0)]
    });
    let alone = || chat(4000.0, 9.0);
    let reach = |found: &[Moment]| {
        let last = found.last().unwrap();
        secs(last.peak) - secs(last.start)
    };
    let (before, after) = (reach(&moments([alone()])), reach(&moments(both.chain([alone()]))));
    assert!(after < before - 5.0, "{after}, {before}");
}

#[test]
fn detectors_that_nobody_knows_are_taken_for_z_scores() {
    let mine = run_of("my_detector", "backflip", 100.0, 3.0, 10.0, 6.0);
    let found = moments([mine, chat(115.0, 3.4)]);
    assert!(states(&found).contains(&Open));
    assert_eq!(&*found.last().unwrap().label, "backflip");
}

#[test]
fn something_new_that_is_heard_need_not_wait_until_chat_has_calmed_down() {
    let roar = |from| run_of("loudness", "loud", from, 6.0, 10.0, 12.0);
    let closed = |found: &[Moment]| found.iter().filter(|m| m.state == Closed).cloned().collect::<Vec<_>>();
    let found = closed(&moments([roar(100.0), chat(118.0, 6.0), roar(136.0)]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!((100.0..125.0).contains(&secs(found[0].peak)) && (136.0..145.0).contains(&secs(found[1].peak)));
    assert!(
        found[1].evidence.iter().all(|e| &*e.detector != "chat_burst"),
        "chat that speaks of the first is no evidence of the second"
    );
    assert_eq!(
        closed(&moments([roar(100.0), chat(118.0, 6.0), chat(132.0, 6.0)])).len(),
        1,
        "chat alone has to wait"
    );
}

#[test]
fn a_short_burst_of_chat_gets_no_shorter_a_clip() {
    let length = |secs_of_chat: f64| {
        let found = moments([run_of("chat_burst", "burst", 200.0, secs_of_chat, 1.0, 9.0)]);
        let closed = found.last().unwrap();
        secs(closed.end) - secs(closed.start)
    };
    assert_eq!(length(4.0), length(8.0));
    assert!(length(60.0) > length(8.0) + 5.0, "{} {}", length(60.0), length(8.0));
}

#[test]
fn evidence_that_the_refractory_time_still_blocks_at_the_end_is_decided_all_the_same() {
    let config = FusionConfig { refractory: Some(std::time::Duration::from_secs(30)), ..Default::default() };
    let first = moments_with(config.clone(), [chat(100.0, 9.0)]);
    let blocked = secs(first.last().unwrap().peak) + 30.0;
    let signals = [chat(100.0, 9.0), run_of("chat_burst", "burst", blocked - 0.6, 1.0, 1.0, 9.0)].concat();
    let setup = config.setup().unwrap();
    // However far the watermark had come when the input ended.
    for advanced in [0.0, blocked - 0.5, blocked + 60.0] {
        let mut fusion = EvidenceFusion::new(stream(), setup.clone());
        let mut out = Vec::new();
        signals.iter().for_each(|signal| fusion.push(signal));
        fusion.advance(Timestamp::try_from_secs_f64(advanced).unwrap(), &mut out);
        fusion.finish(&mut out);
        assert_eq!(states(&out), [Open, Closed, Open, Closed], "advanced to {advanced}");
    }
}

#[test]
fn faces_alone_never_open_a_moment() {
    for (detector, label) in [("face", "smile"), ("face", "expression"), ("face_expression", "surprise")] {
        for sensitivity in [0.0, 0.5] {
            let config = FusionConfig { sensitivity: Some(sensitivity), ..FusionConfig::default() };
            let grin = run_of(detector, label, 100.0, 120.0, 5.0, 50.0);
            let also = run_of("face", "surprise", 100.0, 120.0, 5.0, 50.0);
            let found = moments_with(config, [grin, also]);
            assert!(found.iter().all(|m| matches!(m.state, Provisional | Dropped)), "{:?}", states(&found));
        }
    }
}

#[test]
fn a_face_helps_what_others_nearly_decide_and_does_not_name_it() {
    let weak = 1.8;
    assert!(!states(&moments([chat(120.0, weak)])).contains(&Open));
    let smile = run_of("face", "smile", 100.0, 2.0, 5.0, 8.0);
    let found = moments([smile, chat(120.0, weak)]);
    let closed = found.iter().find(|m| m.state == Closed).expect("both together are a moment");
    assert!(secs(closed.start) <= 100.0, "it begins with the face: {}", secs(closed.start));
    assert!(&*closed.label != "smile", "{}", closed.label);
    assert!(closed.evidence.iter().any(|e| &*e.detector == "face" && e.contribution > 0.0));
}

#[test]
fn what_was_heard_names_a_moment_before_chat_does() {
    let laughter = run_of("audio_tagger", "laughter", 100.0, 4.0, 2.0, 4.0);
    let mood = run_of("chat_lexicon", "hype", 118.0, 5.0, 1.0, 6.0);
    let found = moments([laughter, chat(118.0, 6.0), mood.clone()]);
    assert_eq!(&*found.last().unwrap().label, "laughter");
    assert_eq!(&*moments([chat(118.0, 6.0), mood]).last().unwrap().label, "hype");
}

#[test]
fn a_moment_does_not_begin_in_the_one_before() {
    let roar = |from| run_of("loudness", "loud", from, 6.0, 10.0, 12.0);
    let found = moments([roar(100.0), chat(118.0, 6.0), roar(128.0)]);
    let last = found.last().unwrap();
    assert_eq!(last.state, Closed);
    assert!((120.0..=128.0).contains(&secs(last.start)), "{}", secs(last.start));
}
