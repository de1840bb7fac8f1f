//! What detectors of sound find in samples that lie in memory: no ffmpeg, no file, not a bit changed.

use std::sync::Arc;

use clipcore::detector::AnyDetector;
use clipcore::event::media::{Audio16k, AudioWindow};
use clipcore::event::{AnyEvent, Event, Header, Stamped};
use clipcore::source::media::To16k;
use clipcore::{CameraId, Error, Result, StreamId, Timestamp};
use clipcore_cli::assembly;
use clipcore_cli::models::Models;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use super::detection::Told;
use crate::detached::{Caller, detached};
use crate::detector::{Faults, specs};
use crate::model;
use crate::settings::Settings;

/// Seconds of sound in a block.
const BLOCK: f64 = 0.1;

/// As `detect`, for interleaved samples.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // keyword arguments, all of them
pub(crate) fn detect_sound(
    py: Python<'_>,
    settings: Settings,
    samples: PyReadonlyArray1<'_, f32>,
    rate: u32,
    channels: u16,
    detectors: &Bound<'_, PyAny>,
    models: &Bound<'_, PyAny>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Told> {
    let faults = Arc::new(Faults::default());
    let detectors = specs(detectors, &faults)?;
    let extra = model::models(models)?;
    let samples = samples.as_slice()?;
    let (signals, notices) = detached(py, progress, |caller| -> Result<_> {
        if rate == 0 || rate > 768_000 || channels == 0 {
            return Err(Error::invalid(format!(
                "sound of {rate} Hz and {channels} channels cannot be listened to"
            )));
        }
        let config = settings.config()?;
        let stream = config.stream.clone().map_or_else(|| StreamId::new("sound"), Ok)?;
        let mut models = Models::open(&config)?;
        model::add(&mut models, extra);
        let mut all = assembly::media_detectors(&config, &models)?;
        for spec in &detectors {
            all.push(spec.make(&stream)?);
        }
        for detector in &all {
            config.consent.require(detector.info().needs, &detector.info().name)?;
        }
        let bind = |d| AnyDetector::new(d, stream.clone(), Some(CameraId::main()), models.registry.clone());
        let mut show = Show {
            stream: stream.clone(),
            detectors: all.into_iter().map(bind).collect(),
            found: Vec::new(),
        };
        show.all(samples, rate, channels, caller)?;
        let said = show.detectors.iter().filter_map(|d| {
            d.last_failure().map(|why| format!("{} goes on without some answers: {why}", d.info().name))
        });
        let notices = models.notes.drain(..).chain(said).collect();
        let lines =
            show.found.iter().map(|signal| Ok(serde_json::to_string(signal)?)).collect::<Result<_>>()?;
        Ok((lines, notices))
    })?;
    Ok((signals, notices, faults.take(py)))
}

struct Show {
    stream: StreamId,
    detectors: Vec<AnyDetector>,
    found: Vec<clipcore::detector::Signal>,
}

impl Show {
    fn all(&mut self, samples: &[f32], rate: u32, channels: u16, caller: &Caller) -> Result<()> {
        let mut to_16k = self.wants(Audio16k::KIND).then(To16k::default);
        let (wide, raw) = (usize::from(channels), self.wants(AudioWindow::KIND));
        let frames = block_frames(rate);
        let instant = |n: usize| Timestamp::from_micros((n as i128 * 1_000_000 / i128::from(rate)) as i64);
        for (n, block) in samples.chunks(frames * wide).enumerate() {
            let at = instant(n * frames);
            let window = AudioWindow { rate, channels, samples: block.into() };
            let end = window.end(at);
            for (at, block) in to_16k.as_mut().map(|to| to.push(at, &window)).transpose()?.unwrap_or_default()
            {
                self.show(at, block);
            }
            if raw {
                self.show(at, window);
            }
            self.advance(end);
            caller.check()?;
            caller.progress(end.as_secs_f64() as usize, 0, "seconds listened to".to_owned());
        }
        self.found.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(())
    }

    fn wants(&self, kind: &str) -> bool {
        self.detectors.iter().any(|d| d.wants(kind))
    }

    fn show<E: Event>(&mut self, at: Timestamp, data: E) {
        let mut header = Header::new(self.stream.clone(), at, "clipcore:media", "");
        header.camera = Some(CameraId::main());
        let event = AnyEvent::local(Stamped::new(header, data));
        self.detectors.iter_mut().filter(|d| d.wants(E::KIND)).for_each(|d| d.detect(&event));
    }

    fn advance(&mut self, to: Timestamp) {
        for detector in &mut self.detectors {
            detector.advance(to);
            self.found.extend(detector.take_signals());
        }
    }
}

/// Samples per channel in a block.
fn block_frames(rate: u32) -> usize {
    ((f64::from(rate) * BLOCK) as usize).max(1)
}
