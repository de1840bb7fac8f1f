//! Whether a card makes sense, and whether it speaks of the model that lies beside it.

use super::{Card, FORMAT, InputKind, Output, Size, Task};
use crate::model::onnx::{Dim, Graph, Port};
use crate::{Error, Result};

impl Card {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// `Config`, naming every key that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = Vec::new();
        if self.format != FORMAT {
            return Err(Error::config(format!(
                "the card is of format {}; this build reads {FORMAT}",
                self.format
            ))
            .with_hint("update clipcore, or write the card anew"));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            wrong.push(format!("name {:?} is not made of lower-case letters, digits, _ and -", self.name));
        }
        let bare =
            std::path::Path::new(&self.file).file_name().is_some_and(|name| name == self.file.as_str());
        if !bare {
            wrong.push(format!("file {:?} is not the name of a file beside the card", self.file));
        }
        if let Some(sum) = &self.sha256
            && (sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            wrong.push("sha256 is not 64 hexadecimal digits".to_owned());
        }
        if self.output.is_empty() {
            wrong.push("there is no [[output]]".to_owned());
        }
        for constant in self.constant.iter().filter(|c| !c.value.is_finite()) {
            wrong.push(format!("the constant {:?} is not a finite number", constant.input));
        }
        self.validate_input(&mut wrong);
        self.validate_groups(&mut wrong);
        done(wrong, "the card contradicts itself", "correct these keys of the card")
    }

    fn validate_input(&self, wrong: &mut Vec<String>) {
        let input = &self.input;
        let given = [
            (InputKind::LogMel, "log_mel", input.log_mel.is_some()),
            (InputKind::Waveform, "waveform", input.waveform.is_some()),
            (InputKind::Image, "image", input.image.is_some()),
        ];
        for (kind, name, there) in given {
            if there != (kind == input.kind) {
                let what = if there { "does not go with" } else { "is missing for" };
                wrong.push(format!("[input.{name}] {what} kind {:?}", input.kind));
            }
        }
        if let Some(mel) = &input.log_mel {
            if let Err(error) = mel.validate() {
                wrong.push(error.to_string());
            }
            if let Some(Size::Fixed(bands)) = input.shape.last()
                && *bands != mel.bands
            {
                wrong.push(format!("input.shape ends in {bands}, but log_mel.bands is {}", mel.bands));
            }
        }
        if let Some(waveform) = &input.waveform
            && (waveform.samples == 0 || waveform.rate == 0)
        {
            wrong.push("input.waveform takes no samples".to_owned());
        }
        if let Some(image) = &input.image {
            let at = input.shape.len().checked_sub(if image.channels_last { 1 } else { 3 });
            if let Some(Size::Fixed(n)) = at.and_then(|i| input.shape.get(i))
                && *n != image.colour.channels()
            {
                wrong.push(format!(
                    "input.shape has {n} channels, but {:?} has {}",
                    image.colour,
                    image.colour.channels()
                ));
            }
            if image.scale == 0.0
                || !image.scale.is_finite()
                || !image.mean.is_finite()
                || image.multiple_of == 0
            {
                wrong.push(
                    "input.image has a scale or multiple of 0, or numbers that are not finite".to_owned(),
                );
            }
        }
    }

    fn validate_groups(&self, wrong: &mut Vec<String>) {
        if self.task == Task::AudioTags && self.group.is_empty() {
            wrong.push("a model of audio tags needs a [[group]]".to_owned());
        }
        if let (Some(Size::Fixed(n)), false) =
            (self.output.first().and_then(|o| o.shape.last()), self.labels.is_empty())
            && *n != self.labels.len()
        {
            wrong.push(format!("there are {} labels for {n} numbers of the first output", self.labels.len()));
        }
        for (i, group) in self.group.iter().enumerate() {
            for label in group.labels.iter().filter(|l| !self.labels.contains(l)) {
                wrong.push(format!("group {:?} names {label:?}, which is not among the labels", group.label));
            }
            if group.labels.is_empty() {
                wrong.push(format!("group {:?} has no labels", group.label));
            }
            if !(group.scale.is_finite() && group.scale > 0.0 && group.offset.is_finite()) {
                wrong.push(format!("group {:?} has a scale that is not above 0", group.label));
            }
            if self.group[..i].iter().any(|other| other.label == group.label) {
                wrong.push(format!("there are two groups {:?}", group.label));
            }
        }
    }

    /// Checks the card against the model.
    ///
    /// # Errors
    /// `Config`, naming every point on which they differ.
    pub fn check(&self, graph: &Graph) -> Result<()> {
        let mut wrong = Vec::new();
        let states = self.state.iter().map(|s| s.input.as_str());
        let constants = self.constant.iter().map(|c| c.input.as_str());
        let known: Vec<&str> =
            std::iter::once(self.input.name.as_str()).chain(states).chain(constants).collect();
        for name in &known {
            if !graph.inputs.iter().any(|port| port.name == *name) {
                wrong.push(format!("the model has no input {name:?} (it has {})", names(&graph.inputs)));
            }
        }
        for port in graph.inputs.iter().filter(|port| !known.contains(&port.name.as_str())) {
            wrong.push(format!("the model needs the input {:?}, which the card does not mention", port.name));
        }
        if let Some(port) = graph.inputs.iter().find(|port| port.name == self.input.name) {
            compare("input", port, &self.input.shape, &mut wrong);
        }
        for state in &self.state {
            if let Some(port) = graph.inputs.iter().find(|port| port.name == state.input) {
                let shape: Vec<Size> = state.shape.iter().map(|n| Size::Fixed(*n)).collect();
                compare("state", port, &shape, &mut wrong);
            }
            if !graph.outputs.iter().any(|port| port.name == state.output) {
                wrong.push(format!("the model has no output {:?} for a state", state.output));
            }
        }
        for Output { name, shape, .. } in &self.output {
            match graph.outputs.iter().find(|port| port.name == *name) {
                Some(port) if !shape.is_empty() => compare("output", port, shape, &mut wrong),
                Some(_) => {}
                None => {
                    wrong.push(format!("the model has no output {name:?} (it has {})", names(&graph.outputs)))
                }
            }
        }
        let hint = "the card belongs to another model, or one of them was changed: `clipcore models info` shows both";
        done(wrong, "the card does not fit the model", hint)
    }

    /// Whether items are stacked along a first axis of any length.
    pub fn has_batch_axis(&self) -> bool {
        matches!(self.input.shape.first(), Some(Size::Named(name)) if name == "batch")
            || matches!(self.input.shape.first(), Some(Size::Fixed(1)))
    }
}

fn names(ports: &[Port]) -> String {
    ports.iter().map(|port| format!("{:?}", port.name)).collect::<Vec<_>>().join(", ")
}

/// A fixed size of the card must be the graph's, where the graph has one. A named one may be anything.
fn compare(what: &str, port: &Port, shape: &[Size], wrong: &mut Vec<String>) {
    let Some(real) = &port.shape else { return };
    let fits = |(dim, size): (&Dim, &Size)| match (dim, size) {
        (Dim::Fixed(a), Size::Fixed(b)) => a == b,
        _ => true,
    };
    if real.len() != shape.len() || !real.iter().zip(shape).all(fits) {
        let real = real.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
        let shape = shape.iter().map(|size| match size {
            Size::Fixed(n) => n.to_string(),
            Size::Named(name) => name.clone(),
        });
        let shape = shape.collect::<Vec<_>>().join(", ");
        wrong.push(format!("{what} {:?} is [{real}] in the model and [{shape}] in the card", port.name));
    }
}

fn done(wrong: Vec<String>, message: &'static str, hint: &'static str) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!("{message}: {}", wrong.join("; "))).with_hint(hint))
}
