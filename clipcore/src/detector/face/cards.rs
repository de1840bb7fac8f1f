//! Faces by model cards.

use std::sync::Arc;

use super::{ExpressionPort, FaceConfig, FaceFinder};
use crate::model::Model;
use crate::model::card::{Activation, Card, Task};
use crate::{Error, Result};

fn of_task(card: &Card, task: Task, what: &str) -> Result<()> {
    if card.task == task {
        return Ok(());
    }
    Err(Error::config(format!("the model {:?} does not {what}", card.name))
        .with_context("task", format!("{:?}", card.task)))
}

impl FaceFinder {
    /// The finder that a card describes, on its network.
    ///
    /// # Errors
    /// `Config` where the card is not of a face finder, or its decoder is not known.
    pub fn from_card(network: Arc<dyn Model>, card: &Card, config: &FaceConfig) -> Result<Self> {
        of_task(card, Task::Faces, "find faces")?;
        let head = card.decoder.as_deref().unwrap_or_default().parse()?;
        let input = card.input.image_front_end(config.side)?;
        Self::try_new(network, input, head, config.thresholds)
    }
}

impl ExpressionPort {
    /// The reader of expressions that a card describes.
    ///
    /// # Errors
    /// `Config` where the card is not of one, or its first output is not made of scores.
    pub fn from_card(card: &Card) -> Result<Self> {
        of_task(card, Task::Expressions, "read expressions")?;
        if card.output.first().is_none_or(|output| output.activation != Activation::None) {
            return Err(Error::config(format!("the model {:?} gives logits", card.name))
                .with_hint("export it with its last step, a softmax or sigmoid, in the graph"));
        }
        let input = card.input.image_front_end(0)?;
        Ok(Self { model: card.name.clone(), input, labels: card.labels.clone() })
    }
}
