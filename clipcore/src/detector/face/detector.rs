use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{ExpressionConfig, Scorer};
use super::crop::upright;
use super::decode::{Face, FaceThresholds};
use super::finder::faces_of;
use super::search::{Search, WHOLE};
use super::track::Tracks;
use crate::consent::Consent;
use crate::detector::state::{load, save};
use crate::detector::{Detector, DetectorInfo, Output};
use crate::event::Stamped;
use crate::event::media::VideoFrame;
use crate::model::image::{ImageFrontEnd, ImageSize, Picture, Placement, Rect};
use crate::model::{Response, Tensor, Tensors};
use crate::{Error, Result, Timestamp};

/// A face that is known to be there is shown this high, in pixels. YuNet finds all of 22 faces again from 32 on; from 64 on its
/// landmarks lie within a tenth of the eyes' distance of those at full size (half of them within 0.07).
const KNOWN_FACE: f32 = 96.0;

/// How a [`FaceDetector`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaceConfig {
    /// The longer side, in pixels, of what a finder that takes any size is shown; less where faces are known already.
    pub side: u32,
    /// What counts as a face.
    pub thresholds: FaceThresholds,
    /// Frames a second that are looked at, at most.
    pub max_fps: f64,
    /// Faces of a frame whose expression is read, the largest ones.
    pub max_faces: usize,
    /// Faces lower than this many pixels of the frame are passed over: a network sees nothing in them.
    pub min_face: u32,
    /// While a face is known, the whole frame is looked at this often.
    #[serde(with = "crate::config::secs")]
    pub rescan: Duration,
    /// For how long somebody out of sight keeps a place and a baseline.
    #[serde(with = "crate::config::secs")]
    pub remember: Duration,
    /// How changes are scored.
    pub expression: ExpressionConfig,
}

impl Default for FaceConfig {
    fn default() -> Self {
        Self {
            side: 640,
            thresholds: FaceThresholds::default(),
            max_fps: 5.0,
            max_faces: 4,
            min_face: 24,
            rescan: Duration::from_secs(10),
            remember: Duration::from_secs(30),
            expression: ExpressionConfig::default(),
        }
    }
}

impl FaceConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        let bad = |key: &'static str, why: &str| {
            Err(Error::config(format!("{key} of face {why}")).with_context("key", key))
        };
        if !(0.01..=60.0).contains(&self.max_fps) {
            return bad("max_fps", "must be from 0.01 to 60");
        }
        if !(1..=16).contains(&self.max_faces) {
            return bad("max_faces", "must be from 1 to 16");
        }
        if !(64..=4096).contains(&self.side) {
            return bad("side", "must be from 64 to 4096 pixels");
        }
        self.thresholds.validate()?;
        self.expression.validate()
    }
}

/// The model that finds faces, as the detector asks it: see [`FaceFinder`](super::FaceFinder).
#[derive(Debug, Clone, PartialEq)]
pub struct FinderPort {
    /// The model's name.
    pub model: String,
    /// What it wants a picture to look like.
    pub input: ImageFrontEnd,
}

/// The model that reads expressions: upright crops in, one score (0–1) for each name out.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpressionPort {
    /// The model's name.
    pub model: String,
    /// What it wants a crop to look like: of a fixed size, as wide as high.
    pub input: ImageFrontEnd,
    /// The names of its scores, in order.
    pub labels: Vec<String>,
}

impl ExpressionPort {
    /// The crop in which a face stands upright, as the model wants it; `None` where the face has no size or the input is not
    /// of a fixed one.
    pub fn crop(&self, picture: &Picture<'_>, face: &Face) -> Option<Tensor> {
        let ImageSize::Fixed { width: side, .. } = self.input.size else { return None };
        self.input.crop(picture, &upright(face, side)?).ok()
    }
}

/// Finds changes of expression in frames: each person against their own usual.
///
/// Frames are searched where faces were last seen, else in the corners where webcams sit and then as a whole. Faces are
/// followed by their places; nobody is recognised. A label's score is the z-score of this person's expression, reported
/// every 200 ms once a change has been seen for `sustain`: so it takes two looks, and with keyframes alone two of them
/// in a row. Of several people the one who changed most counts. Where nobody is seen there is no evidence.
///
/// It needs consent to faces and starts without it nowhere. Frames and crops live until they are answered and are
/// never part of its state.
///
/// *Fails:* concentrated faces that show nothing; talking and eating, which move a face as well; occlusion; a cut to
/// another person at the same place, who is measured against the one before.
#[derive(Debug, Clone)]
pub struct FaceDetector {
    config: FaceConfig,
    finder: FinderPort,
    expression: ExpressionPort,
    scorer: Scorer,
    state: State,
    /// The frame that is being looked at.
    pending: Option<Pending>,
    tag: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    tracks: Tracks,
    search: Search,
    /// The last frame that was looked at.
    looked: Option<Timestamp>,
    /// The next instant of the scorer.
    next: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Pending {
    at: Timestamp,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Waits for the finder.
    Searching { tag: u64, frame: VideoFrame, region: Rect, placement: Placement },
    /// Waits for expressions: of the crop with tag `first + i`, the person.
    Reading { first: u64, people: Vec<usize>, left: usize },
}

impl FaceDetector {
    /// A detector that asks these models.
    ///
    /// # Errors
    /// `Config` for settings out of range, and where the expression model's scores mean none of the labels.
    pub fn try_new(config: FaceConfig, finder: FinderPort, expression: ExpressionPort) -> Result<Self> {
        config.validate()?;
        finder.input.validate()?;
        expression.input.validate()?;
        let square = matches!(expression.input.size, ImageSize::Fixed { width, height } if width == height);
        if !square {
            return Err(Error::config("an expression model needs an input of a fixed size, as wide as high")
                .with_context("model", expression.model));
        }
        let scorer = Scorer::try_new(config.expression.clone())?;
        if !scorer.knows_any(&expression.labels) {
            return Err(Error::config("the expression model has no score that any label is made of")
                .with_context("model", expression.model)
                .with_context("scores", expression.labels.join(", "))
                .with_hint("name its scores under face.expression.labels"));
        }
        Ok(Self { config, finder, expression, scorer, state: State::default(), pending: None, tag: 0 })
    }

    fn next_tags(&mut self, n: usize) -> u64 {
        let first = self.tag;
        self.tag = self.tag.wrapping_add(n as u64);
        first
    }

    /// How a region, in parts of the frame's sides and in pixels, is shown to the finder: no larger than its known faces
    /// need.
    fn shown(&self, region: Rect, place: Rect) -> ImageFrontEnd {
        let mut input = self.finder.input;
        let heights = self.state.tracks.places().filter(|_| region != WHOLE).map(|known| known.height);
        let least = heights.reduce(f32::min).map(|part| part * place.height / region.height);
        if let (ImageSize::MultipleOf { side, .. }, Some(least)) = (&mut input.size, least) {
            let enough = place.width.max(place.height) * KNOWN_FACE / least.max(1.0);
            *side = (*side).min(enough.ceil() as u32);
        }
        input
    }

    fn look(&mut self, at: Timestamp, frame: VideoFrame, region: Rect, out: &mut Output) {
        let Ok(picture) = Picture::try_from(&frame) else { return out.reject() };
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let place = Rect::new(region.x * w, region.y * h, region.width * w, region.height * h);
        let Ok((input, placement)) = self.shown(region, place).fit(&picture, place) else {
            return out.reject();
        };
        let tag = self.next_tags(1);
        out.request(&self.finder.model, tag, at, input);
        self.pending = Some(Pending { at, stage: Stage::Searching { tag, frame, region, placement } });
    }

    fn found(&mut self, at: Timestamp, frame: VideoFrame, region: Rect, faces: &[Face], out: &mut Output) {
        if faces.is_empty() {
            if region != WHOLE {
                let whole = self.state.search.everywhere(at);
                self.look(at, frame, whole, out);
            }
            return;
        }
        let (w, h) = (frame.width as f32, frame.height as f32);
        let part = |r: Rect| Rect::new(r.x / w, r.y / h, r.width / w, r.height / h);
        let places: Vec<Rect> = faces.iter().map(|face| part(face.place)).collect();
        let people = self.state.tracks.follow(at, &places);
        self.read(at, &frame, faces, &people, out);
    }

    /// Asks for the expressions of these faces.
    fn read(
        &mut self,
        at: Timestamp,
        frame: &VideoFrame,
        faces: &[Face],
        people: &[usize],
        out: &mut Output,
    ) {
        let Ok(picture) = Picture::try_from(frame) else { return out.reject() };
        let crops = faces.iter().zip(people);
        let crops: Vec<_> = crops
            .filter_map(|(face, person)| Some((*person, self.expression.crop(&picture, face)?)))
            .collect();
        let first = self.next_tags(crops.len());
        let mut people = Vec::with_capacity(crops.len());
        for (tag, (person, crop)) in (first..).zip(crops) {
            out.request(&self.expression.model, tag, at, crop);
            people.push(person);
        }
        let left = people.len();
        if left > 0 {
            self.pending = Some(Pending { at, stage: Stage::Reading { first, people, left } });
        }
    }

    /// Faces in pixels of the frame, large enough, the largest first.
    fn usable(&self, answer: &Tensors, placement: &Placement) -> Option<Vec<Face>> {
        let mut faces = faces_of(answer, placement)?;
        faces.retain(|face| face.place.height >= self.config.min_face as f32);
        faces.sort_by(|a, b| b.place.area().total_cmp(&a.place.area()));
        faces.truncate(self.config.max_faces);
        Some(faces)
    }

    fn observe(&mut self, person: usize, at: Timestamp, answer: &Tensors, out: &mut Output) {
        let scores = answer.first().filter(|scores| scores.len() == self.expression.labels.len());
        let (Some(scores), Some(person)) = (scores, self.state.tracks.person(person)) else {
            return out.reject();
        };
        let names = self.expression.labels.iter().map(String::as_str);
        let named: Vec<_> = names.zip(scores.iter().map(|s| f64::from(*s))).collect();
        self.scorer.observe(person, at, &named);
    }
}

impl Detector for FaceDetector {
    type Input = VideoFrame;

    fn info(&self) -> DetectorInfo {
        let needs = Consent { face: true, ..Consent::NONE };
        DetectorInfo { labels: self.scorer.labels(), needs, ..DetectorInfo::new("face", &[]) }
    }

    fn detect(&mut self, event: &Stamped<VideoFrame>, out: &mut Output) {
        let pause = Duration::from_secs_f64(0.999 / self.config.max_fps);
        if self.state.looked.is_some_and(|last| event.at < last + pause) {
            return;
        }
        self.state.looked = Some(event.at);
        self.state.tracks.forget(event.at, self.config.remember);
        let region = self.state.search.first(event.at, self.config.rescan, self.state.tracks.places());
        self.look(event.at, event.data.clone(), region, out);
    }

    fn resolve(&mut self, response: Response, out: &mut Output) {
        let Some(Pending { at, stage }) = self.pending.take().filter(|p| p.at == response.at) else { return };
        match stage {
            Stage::Searching { tag, frame, region, placement } if tag == response.tag => {
                match self.usable(&response.output, &placement) {
                    Some(faces) => self.found(at, frame, region, &faces, out),
                    None => out.reject(),
                }
            }
            Stage::Reading { first, people, left } => {
                let person = people.get(response.tag.wrapping_sub(first) as usize).copied();
                if left > 1 {
                    self.pending =
                        Some(Pending { at, stage: Stage::Reading { first, people, left: left - 1 } });
                }
                if let Some(person) = person {
                    self.observe(person, at, &response.output, out);
                }
            }
            searching => self.pending = Some(Pending { at, stage: searching }),
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        self.scorer.advance(to, self.state.tracks.people(), out);
    }

    fn reset(&mut self) {
        self.scorer.next = None;
        self.state = State::default();
        self.pending = None;
    }

    fn snapshot(&self) -> Result<Value> {
        save(&State { next: self.scorer.next, ..self.state.clone() })
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.state = load(state, "face")?;
        self.scorer.next = self.state.next;
        self.pending = None;
        Ok(())
    }
}
