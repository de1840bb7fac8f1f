//! The sound: commentary-like babble over a quiet chord bed and a murmuring crowd; roars and clapping at the moments; a
//! beep and a bang.

use std::f32::consts::TAU;

use super::random::Random;
use super::{DISTRACTORS, Happening, MOMENTS, RATE, SECS};

const STEP: f32 = 1.0 / RATE as f32;

/// The whole sound, one channel.
pub(super) fn synthesise(seed: u64) -> Vec<f32> {
    let mut sound = vec![0.0_f32; (SECS * RATE) as usize];
    music(&mut sound);
    babble(&mut sound, &mut Random::new(seed, "babble"));
    murmur(&mut sound, &mut Random::new(seed, "murmur"));
    for (i, moment) in MOMENTS.iter().enumerate() {
        let mut random = Random::new(seed.wrapping_add(i as u64), "crowd");
        // Applause is clapping with a few calls; a cheer is mostly voices.
        let (voices, claps) = if moment.kind == "applause" { (0.35, 1.0) } else { (1.0, 0.45) };
        roar(part(&mut sound, *moment, 2.0), *moment, voices, &mut random);
        clapping(part(&mut sound, *moment, 0.0), claps, &mut random);
    }
    beep(part(&mut sound, DISTRACTORS[0], 0.0));
    bang(part(&mut sound, DISTRACTORS[2], 0.0), &mut Random::new(seed, "bang"));
    for sample in &mut sound {
        *sample = (1.8 * *sample).tanh();
    }
    sound
}

/// The samples of a happening and of `tail` seconds after it.
fn part(sound: &mut [f32], of: Happening, tail: f64) -> &mut [f32] {
    let index = |t: f64| ((t * f64::from(RATE)) as usize).min(sound.len());
    let (from, to) = (index(of.start), index(of.end + tail));
    &mut sound[from..to]
}

/// A two-pole band-pass filter (Bristow-Johnson's cookbook, constant peak gain).
struct BandPass {
    b0: f32,
    a1: f32,
    a2: f32,
    past: [f32; 4],
}

impl BandPass {
    fn new(centre: f32, q: f32) -> Self {
        let mut filter = Self { b0: 0.0, a1: 0.0, a2: 0.0, past: [0.0; 4] };
        filter.tune(centre, q);
        filter
    }

    fn tune(&mut self, centre: f32, q: f32) {
        let (sin, cos) = (TAU * centre * STEP).sin_cos();
        let alpha = sin / (2.0 * q);
        (self.b0, self.a1, self.a2) =
            (alpha / (1.0 + alpha), -2.0 * cos / (1.0 + alpha), (1.0 - alpha) / (1.0 + alpha));
    }

    fn next(&mut self, x: f32) -> f32 {
        let [x1, x2, y1, y2] = self.past;
        let y = self.b0 * (x - x2) - self.a1 * y1 - self.a2 * y2;
        self.past = [x, x1, y, y1];
        y
    }
}

fn music(sound: &mut [f32]) {
    // Am, F, C, G: four seconds each.
    const CHORDS: [[f32; 3]; 4] =
        [[220.0, 261.63, 329.63], [174.61, 220.0, 261.63], [196.0, 261.63, 329.63], [196.0, 246.94, 293.66]];
    let bar = 4 * RATE as usize;
    for (start, chord) in (0..sound.len()).step_by(bar).zip(CHORDS.iter().cycle()) {
        for (i, sample) in sound[start..].iter_mut().take(bar).enumerate() {
            let t = i as f32 * STEP;
            let level = 0.012 * (t / 0.4).min(1.0) * ((4.0 - t) / 0.4).min(1.0);
            *sample += chord.iter().map(|f| level * (TAU * f * t).sin()).sum::<f32>();
        }
    }
}

/// A voice without words: pulses through three formants, in syllables, phrases and pauses.
fn babble(sound: &mut [f32], random: &mut Random) {
    const VOWELS: [[f32; 3]; 5] = [
        [730.0, 1090.0, 2440.0],
        [530.0, 1840.0, 2480.0],
        [270.0, 2290.0, 3010.0],
        [570.0, 840.0, 2410.0],
        [300.0, 870.0, 2240.0],
    ];
    let mut formants = VOWELS[0].map(|f| BandPass::new(f, 8.0));
    let (mut phase, mut at) = (0.0_f32, 0);
    while at < sound.len() {
        let vowel = random.pick(&VOWELS);
        formants.iter_mut().zip(vowel).for_each(|(filter, f)| filter.tune(*f, 8.0));
        let pitch = random.between(95.0, 165.0) as f32;
        let level = random.between(0.3, 0.55) as f32;
        let length = (random.between(0.11, 0.26) * f64::from(RATE)) as usize;
        for i in 0..length.min(sound.len() - at) {
            let x = i as f32 / length as f32;
            phase = (phase + pitch * (1.05 - 0.1 * x) * STEP).fract();
            let source = (1.0 - phase).powi(3) - 0.25 + 0.05 * random.noise();
            let voiced: f32 = formants
                .iter_mut()
                .zip([1.0, 0.6, 0.3])
                .map(|(filter, gain)| gain * filter.next(source))
                .sum();
            sound[at + i] += level * voiced * (TAU / 2.0 * x).sin();
        }
        at += length;
        if random.unit() < 0.14 {
            at += (random.between(0.25, 0.8) * f64::from(RATE)) as usize;
        }
    }
}

fn murmur(sound: &mut [f32], random: &mut Random) {
    let mut filter = BandPass::new(420.0, 0.6);
    for sample in sound {
        *sample += 0.02 * filter.next(random.noise());
    }
}

/// Many voices at once: noise shaped like open vowels, and calls that glide.
fn roar(sound: &mut [f32], of: Happening, level: f32, random: &mut Random) {
    let secs = (of.end - of.start) as f32;
    let swell = |t: f32| {
        let rise = (t / 0.5).clamp(0.0, 1.0);
        let fall = if t < secs - 1.5 { 1.0 } else { (-(t - secs + 1.5) / 0.9).exp() };
        rise * rise * (3.0 - 2.0 * rise) * fall
    };
    let mut shape = [(620.0, 1.2), (1150.0, 1.6), (2600.0, 2.0)].map(|(f, q)| BandPass::new(f, q));
    for (i, sample) in sound.iter_mut().enumerate() {
        let t = i as f32 * STEP;
        let waver = 1.0 + 0.2 * (TAU * 2.3 * t).sin() * (TAU * 0.7 * t).cos();
        let noise = random.noise();
        let breath: f32 = shape.iter_mut().zip([1.0, 0.7, 0.35]).map(|(f, gain)| gain * f.next(noise)).sum();
        *sample += level * 0.55 * swell(t) * waver * breath;
    }
    for _ in 0..28 {
        let (onset, length) = (random.between(0.1, f64::from(secs) * 0.6), random.between(0.8, 2.2));
        let (pitch, glide) = (random.between(230.0, 620.0) as f32, random.between(-0.25, 0.35) as f32);
        let from = (onset * f64::from(RATE)) as usize;
        let count = (length * f64::from(RATE)) as usize;
        let mut phase = random.unit() as f32;
        let calls = sound.iter_mut().skip(from).take(count).enumerate();
        for (i, sample) in calls {
            let x = i as f32 / count as f32;
            phase = (phase + pitch * (1.0 + glide * (TAU / 2.0 * x).sin()) * STEP).fract();
            let call =
                (TAU * phase).sin() + 0.5 * (2.0 * TAU * phase).sin() + 0.25 * (3.0 * TAU * phase).sin();
            *sample += level * 0.022 * call * (TAU / 2.0 * x).sin();
        }
    }
}

/// Forty people who clap about three times a second, each in an own rhythm.
fn clapping(sound: &mut [f32], level: f32, random: &mut Random) {
    for _ in 0..40 {
        let mut hands = BandPass::new(random.between(900.0, 2300.0) as f32, 1.5);
        let pace = random.between(0.24, 0.38);
        let loud = level * random.between(0.3, 1.0) as f32;
        let secs = sound.len() as f64 / f64::from(RATE);
        let mut at = random.between(0.1, 0.9);
        while at < secs - 0.1 {
            let from = (at * f64::from(RATE)) as usize;
            for (i, sample) in sound[from..].iter_mut().take(RATE as usize / 25).enumerate() {
                let decay = (-(i as f32) * STEP / 0.007).exp();
                *sample += loud * hands.next(random.noise()) * decay;
            }
            at += pace * random.between(0.85, 1.15);
        }
    }
}

fn beep(sound: &mut [f32]) {
    let count = sound.len();
    for (i, sample) in sound.iter_mut().enumerate() {
        let edge = (i.min(count - i) as f32 * STEP / 0.005).min(1.0);
        *sample += 0.3 * edge * (TAU * 1000.0 * i as f32 * STEP).sin();
    }
}

fn bang(sound: &mut [f32], random: &mut Random) {
    let mut body = BandPass::new(130.0, 0.8);
    for (i, sample) in sound.iter_mut().enumerate() {
        let t = i as f32 * STEP;
        let noise = random.noise();
        *sample += 0.7 * noise * (-t / 0.02).exp() + 2.0 * body.next(noise) * (-t / 0.09).exp();
    }
}
