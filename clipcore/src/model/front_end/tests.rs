use super::*;

/// Made by `scripts/front_end_reference.py`.
fn reference() -> serde_json::Value {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

fn samples(reference: &serde_json::Value) -> Vec<f32> {
    let samples: Vec<i16> = serde_json::from_value(reference["samples"].clone()).unwrap();
    samples.iter().map(|s| f32::from(*s) / 32768.0).collect()
}

fn config(text: &str) -> LogMelConfig {
    toml::from_str(text).unwrap()
}

const YAMNET: &str = "rate = 16000\nwindow = 400\nhop = 160\nfft = 512\nspectrum = 'magnitude'\nmel = 'htk'\n\
    sides = 'mel'\nbands = 64\nlow = 125.0\nhigh = 7500.0\nlog = 'natural'\noffset = 0.001";
const PANNS: &str = "rate = 16000\nwindow = 512\nhop = 160\nfft = 512\ncentre = true\nspectrum = 'power'\n\
    mel = 'slaney'\narea = true\nbands = 64\nlow = 50.0\nhigh = 8000.0\nlog = 'decibel'\nfloor = 1e-10";
const LIBROSA: &str = "rate = 16000\nwindow = 400\nhop = 160\nfft = 512\ncentre = true\nspectrum = 'power'\n\
    mel = 'slaney'\narea = true\nbands = 40\nlow = 0.0\nhigh = 8000.0\nlog = 'decibel'\nfloor = 1e-10";
const LIBROSA_HTK: &str = "rate = 16000\nwindow = 400\nhop = 160\nfft = 512\ncentre = true\nspectrum = 'power'\n\
    mel = 'htk'\nbands = 32\nlow = 20.0\nhigh = 7600.0\nlog = 'decibel'\nfloor = 1e-10";

#[test]
fn the_conventions_give_the_values_of_their_reference() {
    let reference = reference();
    let samples = samples(&reference);
    for (name, text) in
        [("yamnet", YAMNET), ("panns", PANNS), ("librosa", LIBROSA), ("librosa_htk", LIBROSA_HTK)]
    {
        let expected: Vec<Vec<f32>> = serde_json::from_value(reference[name].clone()).unwrap();
        let found = LogMel::try_new(config(text)).unwrap().run(&samples);
        assert_eq!(found.shape(), [expected.len(), expected[0].len()], "{name}");
        for (e, f) in expected.iter().flatten().zip(&found) {
            assert!((e - f).abs() <= 1e-4 * e.abs().max(1.0), "{name}: {f} instead of {e}");
        }
    }
}

#[test]
fn a_patch_of_so_many_frames_takes_so_many_samples() {
    for text in [YAMNET, LIBROSA] {
        let config = config(text);
        let n = config.samples(96);
        let mut mel = LogMel::try_new(config.clone()).unwrap();
        assert_eq!(mel.run(&vec![0.1; n]).shape(), [96, config.bands]);
        assert_eq!(mel.run(&vec![0.1; n - 1]).shape(), [95, config.bands]);
        assert_eq!(mel.run(&[]).shape()[1], config.bands);
    }
}

#[test]
fn one_patch_does_not_colour_the_next_and_numbers_that_are_none_are_silence() {
    let samples = samples(&reference());
    let mut mel = LogMel::try_new(config(PANNS)).unwrap();
    let first = mel.run(&samples);
    mel.run(&vec![1.0; 4000]);
    assert_eq!(mel.run(&samples), first);
    let silent = mel.run(&[f32::NAN; 800]);
    assert!(silent.iter().all(|x| x.is_finite()), "{silent}");
}

#[test]
fn a_patch_that_goes_on_from_the_last_is_the_same_to_the_bit() {
    let samples: Vec<f32> = (0..12_000).map(|i| (i as f32 * 0.05).sin() * (i % 977) as f32 / 977.0).collect();
    for text in [YAMNET, PANNS] {
        let patch = config(text).samples(12);
        let mut mel = LogMel::try_new(config(text)).unwrap();
        let (mut at, mut last) = (0, None);
        // Steps of whole frames, of parts of them, none, and more than a patch.
        for step in [320, 160, 100, 0, 800, 5000, 320] {
            let sound = &samples[at..at + patch];
            let alone = LogMel::try_new(config(text)).unwrap().run(sound);
            assert_eq!(mel.run_after(sound, last.map(|last| at - last)), alone, "at {at}");
            last = Some(at);
            at += step;
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (from, to) in [
        ("hop = 160", "hop = 0"),
        ("window = 400", "window = 513"),
        ("fft = 512", "fft = 511"),
        ("high = 7500.0", "high = 8001.0"),
        ("low = 125.0", "low = -1.0"),
        ("bands = 64", "bands = 0"),
        ("offset = 0.001", "offset = 0.0"),
    ] {
        assert!(LogMel::try_new(config(&YAMNET.replace(from, to))).is_err(), "{to}");
    }
}
