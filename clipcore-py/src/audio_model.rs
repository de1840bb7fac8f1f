//! A sound model with its front end, for Python code that wants its scores.

use std::sync::{Mutex, PoisonError};

use clipcore::detector::{Place, Tagger};
use clipcore::event::media::Audio16k;
use clipcore::model::{Model, OnnxModel, Tensors};
use clipcore::{Error, ErrorKind, Result, Timestamp};
use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::error::OrRaise;
use crate::gate;
use crate::settings::Settings;

/// Patches that go through the model at once.
const BATCH: usize = 32;

/// Where patches end, and what the model says of each.
type Scores<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f32>>);

/// See `_clipcore.pyi`.
#[pyclass(frozen, name = "AudioModel", module = "clipcore._clipcore")]
pub(crate) struct PyAudioModel {
    name: String,
    labels: Vec<String>,
    patch: usize,
    /// A front end for each call that runs now.
    front_ends: Mutex<Vec<Tagger>>,
    spare: Tagger,
    model: OnnxModel,
}

#[pymethods]
impl PyAudioModel {
    #[new]
    fn new(py: Python<'_>, settings: Settings, name: &str) -> PyResult<Self> {
        gate::detach(py, || -> Result<Self> {
            let models = settings.config()?.models;
            let stored = models.store().find(name)?;
            let spare = Tagger::try_new(&stored.card, Audio16k::RATE as usize)?;
            let model = stored.load(&models.runtime()?)?;
            let (name, labels) = (stored.card.name.clone(), stored.card.labels.clone());
            Ok(Self { name, labels, patch: spare.patch(), front_ends: Mutex::default(), spare, model })
        })
        .or_raise(py)
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn labels(&self) -> Vec<String> {
        self.labels.clone()
    }

    #[getter]
    fn patch(&self) -> usize {
        self.patch
    }

    #[getter]
    fn runs_on(&self) -> &str {
        self.model.runs_on()
    }

    /// The end of each patch in seconds, and the model's numbers `[patches, labels]`.
    fn scores<'py>(
        &self,
        py: Python<'py>,
        samples: PyReadonlyArray1<'py, f32>,
        hop: usize,
    ) -> PyResult<Scores<'py>> {
        let samples = samples.as_slice()?;
        let (ends, scores) = gate::detach(py, || self.run(samples, hop.max(1))).or_raise(py)?;
        Ok((PyArray1::from_vec(py, ends), PyArray2::from_owned_array(py, scores)))
    }
}

impl PyAudioModel {
    fn run(&self, samples: &[f32], hop: usize) -> Result<(Vec<f64>, Array2<f32>)> {
        let kept = self.front_ends.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut front_end = kept.unwrap_or_else(|| self.spare.clone());
        front_end.forget();
        let starts: Vec<usize> = (0..(samples.len() + 1).saturating_sub(self.patch)).step_by(hop).collect();
        let mut numbers = Vec::with_capacity(starts.len() * self.labels.len());
        let odd =
            || Error::new(ErrorKind::Internal, format!("model {:?} is not what its card says", self.name));
        for batch in starts.chunks(BATCH.min(self.model.batch_limit())) {
            let mut patch = |at: &usize| {
                // Frames that two patches share are made once.
                let place = Place::new(Timestamp::ZERO, *at as u64);
                front_end.input(place, &samples[*at..at + self.patch]).map(Tensors::from)
            };
            let inputs: Vec<Tensors> = batch.iter().map(&mut patch).collect::<Option<_>>().ok_or_else(odd)?;
            for answer in self.model.infer(&inputs)? {
                numbers.extend(front_end.numbers(&answer).ok_or_else(odd)?.iter().copied());
            }
        }
        self.front_ends.lock().unwrap_or_else(PoisonError::into_inner).push(front_end);
        let rate = f64::from(Audio16k::RATE);
        let ends = starts.iter().map(|at| (at + self.patch) as f64 / rate).collect();
        let scores = Array2::from_shape_vec((starts.len(), self.labels.len()), numbers).map_err(|_| odd())?;
        Ok((ends, scores))
    }
}
