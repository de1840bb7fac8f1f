//! The model's side: from sound to its input, from its output to log-odds per group.

use crate::detector::tape::Place;
use crate::event::media::Audio16k;
use crate::model::card::{Activation, Card, Group, InputKind, Size, Task};
use crate::model::front_end::LogMel;
use crate::model::{Tensor, Tensors};
use crate::{Error, Result};

/// Probabilities this near to 0 or 1 count as such.
const EPSILON: f64 = 1e-6;

/// What the card of an audio tagger says, made ready: from sound to the model's input, from its output to scores.
#[derive(Debug, Clone)]
pub struct Tagger {
    pub(super) model: String,
    /// Samples of a patch.
    pub(super) patch: usize,
    pub(super) groups: Vec<Group>,
    /// The numbers of the output that belong to each group.
    members: Vec<Vec<usize>>,
    /// An item's shape.
    shape: Vec<usize>,
    front_end: Option<LogMel>,
    /// Where the last patch began: the next one shares frames with it.
    last: Option<Place>,
    output: String,
    activation: Activation,
    labels: usize,
}

impl Tagger {
    /// Reads a card; a model that takes any length is given patches of `window_samples`.
    ///
    /// # Errors
    /// `Config` where the card is none of an audio tagger that clipcore can feed, saying why.
    pub fn try_new(card: &Card, window_samples: usize) -> Result<Self> {
        card.validate()?;
        let wrong = |what: String| {
            Err(Error::config(format!("the model {:?} cannot tag sound here: {what}", card.name))
                .with_hint("see clipcore::model::card for what a card of an audio tagger says"))
        };
        if card.task != Task::AudioTags {
            return wrong(format!("its card says task {:?}, not audio_tags", card.task));
        }
        if !card.state.is_empty() || !card.constant.is_empty() {
            return wrong("it has inputs beside the sound".to_owned());
        }
        let skip = usize::from(card.has_batch_axis());
        let sizes = &card.input.shape[skip..];
        let (rate, patch, shape, front_end) =
            match (&card.input.kind, &card.input.log_mel, &card.input.waveform) {
                (InputKind::LogMel, Some(mel), _) => {
                    let dims: Vec<&Size> = sizes.iter().filter(|s| **s != Size::Fixed(1)).collect();
                    let frames = match dims[..] {
                        [Size::Fixed(frames), Size::Fixed(_)] => *frames,
                        [Size::Named(_), Size::Fixed(_)] => window_samples / mel.hop,
                        _ => return wrong("its input's shape is not [batch, frames, bands]".to_owned()),
                    };
                    let shape = sizes.iter().map(|size| if let Size::Fixed(n) = size { *n } else { frames });
                    (mel.rate, mel.samples(frames), shape.collect(), Some(LogMel::try_new(mel.clone())?))
                }
                (InputKind::Waveform, _, Some(waveform)) if waveform.context == 0 => {
                    let n = waveform.samples;
                    (
                        waveform.rate,
                        n,
                        sizes.iter().map(|s| if *s == Size::Fixed(1) { 1 } else { n }).collect(),
                        None,
                    )
                }
                _ => return wrong("its input is not sound".to_owned()),
            };
        if rate != Audio16k::RATE {
            return wrong(format!("it takes sound of {rate} Hz; clipcore gives {} Hz", Audio16k::RATE));
        }
        if patch == 0 || patch > 60 * Audio16k::RATE as usize {
            return wrong(format!("it takes {patch} samples at once; up to a minute is possible"));
        }
        let place = |label: &String| card.labels.iter().position(|l| l == label);
        Ok(Self {
            model: card.name.clone(),
            patch,
            members: card.group.iter().map(|g| g.labels.iter().filter_map(place).collect()).collect(),
            groups: card.group.clone(),
            shape,
            front_end,
            last: None,
            output: card.output[0].name.clone(),
            activation: card.output[0].activation,
            labels: card.labels.len(),
        })
    }

    /// Samples of a patch, at 16 kHz.
    pub fn patch(&self) -> usize {
        self.patch
    }

    /// The model's own numbers, one for each label of the card; `None` where the answer is not what the card says.
    pub fn numbers<'a>(&self, answer: &'a Tensors) -> Option<&'a Tensor> {
        answer.get(&self.output).or(answer.first()).filter(|numbers| numbers.len() == self.labels)
    }

    /// The model's input for a patch of sound that begins at `place`.
    pub fn input(&mut self, place: Place, samples: &[f32]) -> Option<Tensor> {
        let moved = self.last.replace(place).and_then(|last| place.after(last));
        let tensor = match &mut self.front_end {
            Some(front_end) => front_end.run_after(samples, moved),
            None => Tensor::from_shape_vec(vec![samples.len()], samples.to_vec()).ok()?,
        };
        tensor.into_shape_with_order(self.shape.clone()).ok()
    }

    /// The next patch has nothing in common with the last one.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Calibrated log-odds of each group; `None` where the answer is not what the card says.
    pub(super) fn logits(&self, answer: &Tensors) -> Option<Vec<f64>> {
        let numbers: Vec<f64> = self.numbers(answer)?.iter().map(|x| f64::from(*x)).collect();
        let logits: Vec<f64> = match self.activation {
            Activation::Sigmoid => numbers,
            Activation::None => numbers.into_iter().map(log_odds).collect(),
            Activation::Softmax => {
                let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = numbers.iter().map(|x| (x - most).exp()).sum();
                numbers.iter().map(|x| log_odds((x - most).exp() / sum)).collect()
            }
        };
        let group = |(group, members): (&Group, &Vec<usize>)| {
            let most = members.iter().map(|i| logits[*i]).fold(f64::NEG_INFINITY, f64::max);
            group.scale * most + group.offset
        };
        Some(self.groups.iter().zip(&self.members).map(group).collect())
    }
}

/// The log-odds of a probability.
pub(in crate::detector) fn log_odds(p: f64) -> f64 {
    let p = p.clamp(EPSILON, 1.0 - EPSILON);
    (p / (1.0 - p)).ln()
}
