use ebur128::{EbuR128, Mode};

use super::super::testing::{at, run};
use super::super::{Normalizer, Signal};
use super::*;
use crate::conformance::cases::Rng;
use crate::event::AnyEvent;

/// Noise of `gain(second)` at `rate`, interleaved.
fn noise(secs: u32, rate: u32, channels: u16, gain: impl Fn(f64) -> f32) -> Vec<f32> {
    let mut rng = Rng::new(3);
    (0..secs * rate)
        .flat_map(|i| {
            let g = gain(f64::from(i) / f64::from(rate));
            std::iter::repeat_n(g, usize::from(channels))
        })
        .map(|g| g * (2.0 * rng.unit() as f32 - 1.0))
        .collect()
}

/// The sound in windows of these lengths in frames, in turn.
fn windows(samples: &[f32], rate: u32, channels: u16, start: f64, lengths: &[usize]) -> Vec<AnyEvent> {
    let (mut out, mut done, mut lengths) = (Vec::new(), 0usize, lengths.iter().cycle());
    while done < samples.len() {
        let n = (lengths.next().unwrap() * usize::from(channels)).min(samples.len() - done);
        let frames = done / usize::from(channels);
        let secs = start + frames as f64 / f64::from(rate);
        out.push(at(secs, AudioWindow { rate, channels, samples: samples[done..done + n].into() }));
        done += n;
    }
    out
}

fn signals(events: &[AnyEvent]) -> Vec<Signal> {
    run(&mut Loudness::default(), events, 1000.0)
}

fn passage(t: f64) -> f32 {
    if (20.0..23.0).contains(&t) { 0.4 } else { 0.02 }
}

#[test]
fn it_measures_what_the_ebur128_crate_measures() {
    for (rate, channels) in [(48_000, 2u16), (44_100, 1), (16_000, 1), (48_000, 6)] {
        let samples = noise(6, rate, channels, |t| 0.01 + 0.1 * t as f32);
        let config = LoudnessConfig { gate_lufs: -120.0, min_z: 0.0, ..LoudnessConfig::default() };
        let mut detector = Loudness::try_new(config.clone()).unwrap();
        let mut reference = EbuR128::new(channels.into(), rate, Mode::M).unwrap();
        let mut normalizer = Normalizer::try_new(config.normalizer, HOP).unwrap();
        let hop = (rate / 10) as usize * usize::from(channels);
        let mut expected = Vec::new();
        for (i, block) in samples.chunks(hop).enumerate() {
            reference.add_frames_f32(block).unwrap();
            if i >= 3 {
                expected.push(normalizer.update(reference.loudness_momentary().unwrap()));
            }
        }
        let expected: Vec<_> = expected.into_iter().filter(|z| *z >= config.min_z).collect();
        let got = run(&mut detector, &windows(&samples, rate, channels, 0.0, &[777]), 10.0);
        assert!(got.len() > 20);
        assert_eq!(got.len(), expected.len(), "{rate} Hz, {channels} channels");
        for (signal, z) in got.iter().zip(&expected) {
            assert!((signal.score - z).abs() < 1e-3, "{rate} Hz, {channels} channels: {signal:?}, not {z}");
        }
    }
}

#[test]
fn a_loud_passage_is_found_with_its_onset() {
    let found = signals(&windows(&noise(40, 16_000, 1, passage), 16_000, 1, 0.0, &[1600]));
    let loud: Vec<_> = found.iter().filter(|s| s.score > 5.0).collect();
    let first = loud.first().expect("a loud passage");
    assert!((20.0..20.6).contains(&first.at.as_secs_f64()), "{first:?}");
    assert!((19.5..20.3).contains(&first.onset.as_secs_f64()), "{first:?}");
    assert!(loud.iter().all(|s| s.at.as_secs_f64() < 24.5));
}

#[test]
fn how_the_sound_is_cut_up_does_not_matter() {
    let samples = noise(30, 44_100, 2, passage);
    let whole = signals(&windows(&samples, 44_100, 2, 0.0137, &[usize::MAX / 4]));
    assert!(whole.len() > 10);
    for lengths in [&[1][..], &[4410], &[1024], &[1, 7, 48_000, 333]] {
        if lengths == [1] {
            let short = &samples[..44_100 * 2];
            let one = signals(&windows(short, 44_100, 2, 0.0137, &[1]));
            assert_eq!(one, signals(&windows(short, 44_100, 2, 0.0137, &[44_100])));
            continue;
        }
        assert_eq!(signals(&windows(&samples, 44_100, 2, 0.0137, lengths)), whole, "{lengths:?}");
    }
}

#[test]
fn a_hole_or_another_format_is_no_loud_passage_and_forgets_nothing() {
    let usual = |secs, rate, channels| noise(secs, rate, channels, |_| 0.02);
    let mut events = windows(&usual(30, 16_000, 1), 16_000, 1, 0.0, &[1600]);
    events.extend(windows(&usual(20, 16_000, 1), 16_000, 1, 37.3, &[1600]));
    events.extend(windows(&usual(20, 48_000, 1), 48_000, 1, 57.3, &[4800]));
    assert!(signals(&events).iter().all(|s| s.score < 3.0));
    events.extend(windows(&noise(3, 48_000, 1, |_| 0.4), 48_000, 1, 77.3, &[4800]));
    let loud: Vec<_> = signals(&events).into_iter().filter(|s| s.score > 5.0).collect();
    assert!(loud.iter().all(|s| s.at.as_secs_f64() > 77.3) && !loud.is_empty());
}

#[test]
fn sound_that_comes_twice_is_heard_once() {
    let samples = noise(30, 16_000, 1, passage);
    let once = windows(&samples, 16_000, 1, 0.0, &[1600]);
    let mut twice = once.clone();
    for second in 1..29 {
        let from = second * 16_000 - 4000;
        let data = AudioWindow { rate: 16_000, channels: 1, samples: samples[from..from + 3200].into() };
        twice.push(at(from as f64 / 16_000.0, data));
    }
    let (a, b) = (signals(&once), signals(&twice));
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(&b).all(|(a, b)| (a.score - b.score).abs() < 0.05 && a.at == b.at));
}

#[test]
fn silence_and_samples_that_are_not_numbers_are_nothing() {
    let silence = |t: f64| if (10.0..15.0).contains(&t) { 0.0 } else { 0.02 };
    assert!(
        signals(&windows(&noise(30, 16_000, 1, silence), 16_000, 1, 0.0, &[1600]))
            .iter()
            .all(|s| s.score < 3.0)
    );
    let mut broken = noise(30, 16_000, 1, |_| 0.02);
    broken[200_000..200_100].fill(f32::NAN);
    broken[300_000..300_100].fill(f32::INFINITY);
    assert!(signals(&windows(&broken, 16_000, 1, 0.0, &[1600])).iter().all(|s| s.score < 3.0));
}

#[test]
fn settings_out_of_range_name_their_key() {
    let config = LoudnessConfig { gate_lufs: 3.0, ..LoudnessConfig::default() };
    assert!(Loudness::try_new(config).unwrap_err().to_string().contains("gate_lufs"));
}
