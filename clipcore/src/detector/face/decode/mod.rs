//! From what a face network says to faces.

mod ultraface;
mod yunet;

use ndarray::ArrayViewD;
use serde::{Deserialize, Serialize};
pub use ultraface::ultraface;
pub use yunet::yunet;

use crate::model::image::{Point, Rect};
use crate::{Error, Result};

/// A face in a picture. It has no wire form on purpose: positions of eyes and mouth stay in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// From forehead to chin, in pixels.
    pub place: Rect,
    /// How sure the network is, 0 to 1.
    pub score: f32,
    /// The eyes, the tip of the nose and the corners of the mouth, those on the picture's left first.
    pub landmarks: Option<[Point; 5]>,
}

/// What counts as a face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaceThresholds {
    /// The least score, 0 to 1.
    pub score: f32,
    /// Of faces that overlap more than this (intersection over union), only the surest one counts.
    pub overlap: f32,
}

impl Default for FaceThresholds {
    fn default() -> Self {
        Self { score: 0.7, overlap: 0.3 }
    }
}

impl FaceThresholds {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("score", self.score), ("overlap", self.overlap)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::config(format!("{key} of a face must lie between 0 and 1"))
                    .with_context("key", key));
            }
        }
        Ok(())
    }
}

/// A network's outputs by name.
pub type Outputs<'a> = [(&'a str, ArrayViewD<'a, f32>)];

/// Candidates that are compared with each other, at most; the surest ones.
const MOST_CANDIDATES: usize = 512;

/// The numbers of one output, `rows × columns` of them.
fn numbers<'a>(outputs: &'a Outputs<'_>, name: &str, rows: usize, columns: usize) -> Result<Vec<&'a [f32]>> {
    let Some((_, view)) = outputs.iter().find(|(n, _)| *n == name) else {
        let known: Vec<_> = outputs.iter().map(|(n, _)| *n).collect();
        return Err(Error::invalid(format!("a face network gave no output {name:?}"))
            .with_context("outputs", known.join(", ")));
    };
    let values = view.as_slice().filter(|v| v.len() == rows * columns);
    let values = values.filter(|_| view.shape().last() == Some(&columns)).ok_or_else(|| {
        Error::invalid(format!("output {name:?} of a face network has the wrong shape"))
            .with_context("expected", format!("[{rows}, {columns}]"))
            .with_context("got", format!("{:?}", view.shape()))
    })?;
    Ok(values.chunks_exact(columns).collect())
}

fn not_a_number(name: &str) -> Error {
    Error::invalid(format!("output {name:?} of a face network holds something that is not a number"))
}

/// The surest of overlapping faces, surest first.
fn suppress(mut faces: Vec<Face>, overlap: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(MOST_CANDIDATES);
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|k| k.place.iou(face.place) <= overlap) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
