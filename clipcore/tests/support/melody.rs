//! Sound whose every instant is known: a sweep each tenth of a second, whose pitches are drawn from the slot's number.
//! Correlating a clip's sound with it tells where the sound comes from, to a small part of a sample; sweeps
//! rather than tones, since a tone fits itself again one period later.

use std::f32::consts::TAU;

const SLOT_MS: usize = 100;
const FADE: f32 = 0.01;
/// The rate at which sound is compared, in Hz.
pub const RATE: usize = 16_000;

/// One sample, at `index` samples of `rate` Hz from the stream's zero.
fn sample(index: usize, rate: usize) -> f32 {
    let slot_len = rate * SLOT_MS / 1000;
    let (slot, inside) = (index / slot_len, index % slot_len);
    let mut hash = (slot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let pitch = 500.0 + ((hash >> 40) as f32 / 16_777_216.0) * 3000.0;
    let sweep = if pitch < 2000.0 { 1500.0 } else { -1500.0 };
    let (t, length) = (inside as f32 / rate as f32, SLOT_MS as f32 / 1000.0);
    let edge = t.min(length - t).min(FADE) / FADE;
    0.3 * (0.5 - 0.5 * (edge * TAU / 2.0).cos()) * (TAU * (pitch + 0.5 * sweep * t / length) * t).sin()
}

/// `count` samples from sample `from` on.
pub fn samples(from: usize, count: usize, rate: usize) -> Vec<f32> {
    (from..from + count).map(|i| sample(i, rate)).collect()
}

/// A fit that no other place of the melody reaches.
const SURE: f32 = 0.9;

/// Where sound at [`RATE`] comes from: the shift in milliseconds against `expected` (seconds of the melody at
/// the sound's first sample) that fits best within ±`reach_ms`; positive where the sound is *later* than it should be.
/// `None` where nothing fits (correlation under 0.6).
pub fn offset_ms(sound: &[f32], expected: f64, reach_ms: usize) -> Option<f64> {
    // Nearly all sound is where it belongs: the wide search is for what is not.
    let near = best_fit(sound, expected, 5.min(reach_ms)).filter(|(fit, _)| *fit >= SURE);
    let (fit, ms) = near.or_else(|| best_fit(sound, expected, reach_ms))?;
    (fit >= 0.6).then_some(ms)
}

/// The best correlation within ±`reach_ms`, and its shift in milliseconds.
fn best_fit(sound: &[f32], expected: f64, reach_ms: usize) -> Option<(f32, f64)> {
    let reach = (reach_ms * RATE / 1000) as i64;
    let zero = (expected * RATE as f64).round() as i64;
    let part = zero as f64 - expected * RATE as f64;
    let from = zero - reach;
    let skip = (-from).max(0) as usize;
    let count = sound.len() + 2 * reach as usize;
    let mut reference = vec![0.0; skip.min(count)];
    reference.extend(samples((from + skip as i64) as usize, count - reference.len(), RATE));

    let energy: f32 = sound.iter().map(|x| x * x).sum();
    let mut window_energy: f32 = reference[..sound.len()].iter().map(|x| x * x).sum();
    let fit: Vec<f32> = (0..=2 * reach as usize)
        .map(|lag| {
            let window = &reference[lag..lag + sound.len()];
            let dot: f32 = window.iter().zip(sound).map(|(a, b)| a * b).sum();
            let fit = dot / (window_energy * energy).sqrt().max(1e-9);
            let next = reference.get(lag + sound.len()).copied().unwrap_or_default();
            window_energy += next * next - window[0] * window[0];
            fit
        })
        .collect();
    let best = (0..fit.len()).max_by(|&a, &b| fit[a].total_cmp(&fit[b]))?;
    // A parabola through the best three lags gives the part of a sample.
    let fine = match (best.checked_sub(1).and_then(|i| fit.get(i)), fit.get(best + 1)) {
        (Some(l), Some(r)) if (l - 2.0 * fit[best] + r).abs() > 1e-9 => {
            f64::from(0.5 * (l - r) / (l - 2.0 * fit[best] + r))
        }
        _ => 0.0,
    };
    // The window at lag L starts L − reach after `zero`: content from later in the melody means early sound.
    Some((fit[best], -((best as i64 - reach) as f64 + fine + part) / RATE as f64 * 1000.0))
}
