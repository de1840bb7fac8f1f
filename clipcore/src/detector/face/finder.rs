use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::decode::{Face, FaceThresholds, ultraface, yunet};
use super::detector::FinderPort;
use crate::model::image::{ImageFrontEnd, Picture, Placement, Point, Rect};
use crate::model::{Model, Tensor, Tensors};
use crate::{Error, ErrorKind, Result};

/// What a face network's numbers mean; `yunet` or `ultraface` in a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaceHead {
    /// See [`yunet`].
    Yunet,
    /// See [`ultraface`].
    Ultraface,
}

impl FromStr for FaceHead {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "yunet" => Ok(Self::Yunet),
            "ultraface" => Ok(Self::Ultraface),
            other => Err(Error::config(format!("there is no face decoder {other:?}"))
                .with_hint("known are yunet and ultraface")),
        }
    }
}

/// The name of a finder's output.
const FACES: &str = "faces";
/// Numbers of a face: left, top, width, height, score, and with landmarks five points more.
const PLAIN: usize = 5;
const WITH_LANDMARKS: usize = 15;

/// A face network as a [`Model`] that answers faces.
///
/// It takes what its [`ImageFrontEnd`] makes of a picture, and answers one tensor `faces` of shape `[n, 5]` or `[n, 15]`:
/// left, top, width, height in pixels of the input and the score, then x and y of the eyes, the nose and the corners of
/// the mouth where the network knows them. Any model that answers so can take its place.
pub struct FaceFinder {
    network: Arc<dyn Model>,
    input: ImageFrontEnd,
    head: FaceHead,
    thresholds: FaceThresholds,
}

impl fmt::Debug for FaceFinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaceFinder")
            .field("name", &self.name())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl FaceFinder {
    /// A finder on this network.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(
        network: Arc<dyn Model>,
        input: ImageFrontEnd,
        head: FaceHead,
        thresholds: FaceThresholds,
    ) -> Result<Self> {
        input.validate()?;
        thresholds.validate()?;
        Ok(Self { network, input, head, thresholds })
    }

    /// How a detector asks it.
    pub fn port(&self) -> FinderPort {
        FinderPort { model: self.name().to_owned(), input: self.input }
    }

    /// The faces in a region of a picture, surest first, in pixels of the picture.
    ///
    /// # Errors
    /// `InvalidInput` where the region lies outside of the picture; whatever the network says.
    pub fn find(&self, picture: &Picture<'_>, region: Rect) -> Result<Vec<Face>> {
        let (input, placement) = self.input.fit(picture, region)?;
        let answer = self.infer(&[input.into()])?;
        let faces = answer.first().and_then(|answer| faces_of(answer, &placement));
        faces.ok_or_else(|| Error::new(ErrorKind::Internal, "a finder answered no faces"))
    }

    fn faces(&self, item: &Tensors, answer: &Tensors) -> Result<Tensors> {
        let shape = item.first().map(Tensor::shape).filter(|shape| shape.len() == 3);
        let shape = shape.ok_or_else(|| Error::invalid("a face network was not given a picture"))?;
        let size = match self.input.channels_last {
            false => (shape[2], shape[1]),
            true => (shape[1], shape[0]),
        };
        let decode = match self.head {
            FaceHead::Yunet => yunet,
            FaceHead::Ultraface => ultraface,
        };
        let outputs: Vec<_> = answer.iter().map(|(name, tensor)| (name, tensor.view())).collect();
        let faces = decode(&outputs, size, self.thresholds).map_err(|e| {
            e.with_context("model", self.name()).with_hint("its card names another kind of network")
        })?;
        Ok(Tensors::new().with(FACES, to_tensor(&faces)?))
    }
}

impl Model for FaceFinder {
    fn name(&self) -> &str {
        self.network.name()
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let answers = self.network.infer(batch)?;
        batch.iter().zip(&answers).map(|(item, answer)| self.faces(item, answer)).collect()
    }
}

fn to_tensor(faces: &[Face]) -> Result<Tensor> {
    let with_landmarks = faces.iter().all(|f| f.landmarks.is_some());
    let columns = if with_landmarks { WITH_LANDMARKS } else { PLAIN };
    let mut values = Vec::with_capacity(faces.len() * columns);
    for face in faces {
        let Rect { x, y, width, height } = face.place;
        values.extend([x, y, width, height, face.score]);
        for point in face.landmarks.iter().filter(|_| with_landmarks).flatten() {
            values.extend([point.x, point.y]);
        }
    }
    let faces = Array2::from_shape_vec((faces.len(), columns), values)
        .map_err(|e| Error::new(ErrorKind::Internal, "faces do not fill their tensor").with_source(e))?;
    Ok(faces.into_dyn())
}

/// The faces of a finder's answer, in the picture that was placed so; `None` where it is no such answer.
pub(super) fn faces_of(answer: &Tensors, placement: &Placement) -> Option<Vec<Face>> {
    let faces = answer.get(FACES).or_else(|| answer.first())?;
    let columns = *faces.shape().get(1)?;
    if faces.ndim() != 2 || ![PLAIN, WITH_LANDMARKS].contains(&columns) {
        return None;
    }
    let read = |row: ndarray::ArrayViewD<'_, f32>| {
        let v: Vec<f32> = row.iter().copied().collect();
        let place = Rect::new(v[0], v[1], v[2], v[3]);
        let fine = place.is_proper() && v.iter().all(|x| x.is_finite());
        let point = |i: usize| placement.point_to_picture(Point { x: v[i], y: v[i + 1] });
        let landmarks = (columns == WITH_LANDMARKS).then(|| [5, 7, 9, 11, 13].map(point));
        fine.then_some(Face { place: placement.rect_to_picture(place), score: v[4], landmarks })
    };
    faces.outer_iter().map(read).collect()
}
