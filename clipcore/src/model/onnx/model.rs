use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayViewD, Axis, stack};

use super::guard::MAX_FILE;
use super::{Backend, Dim, Element, Graph, Port, Runtime};
use crate::model::{Model, Tensor, Tensors};
use crate::{Error, ErrorKind, Result};

/// Items that go through a model in one run, where it takes batches.
const BATCH: usize = 32;

/// An ONNX file as a [`Model`].
///
/// # Shapes
/// An item is what one question is about: each of the graph's inputs *without* its batch axis. An input has a batch
/// axis where it has two dimensions or more and the first is 1 or of any length; where that first dimension is of any
/// length in all inputs, items of equal shapes go through together. An input without one (a state of shape `[2, 1, 128]`,
/// a rate that is a single number) is given whole. Outputs come back likewise: one item's share, under the graph's
/// names. Numbers are `f32` on both sides; inputs of integers are rounded.
pub struct OnnxModel {
    name: String,
    /// The file's name, for errors.
    origin: String,
    graph: Graph,
    backend: Box<dyn Backend>,
    runs_on: String,
    remarks: Vec<String>,
    /// Which inputs have a batch axis, and whether batches may have any length.
    batched: Vec<bool>,
    limit: usize,
    names: Vec<Arc<str>>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxModel")
            .field("name", &self.name)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl OnnxModel {
    /// Loads a file.
    ///
    /// # Errors
    /// `NotFound` or `Io` where it cannot be read; else as [`from_bytes`](Self::from_bytes). Every error names the file.
    pub fn load(runtime: &Runtime, name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path)?;
        Self::from_bytes(runtime, name, &bytes, &path.display().to_string())
    }

    /// Loads a model from memory; `origin` stands for the file in errors.
    ///
    /// # Errors
    /// `InvalidInput` where it is no whole ONNX model; `Unsupported` where the backend does not take it.
    pub fn from_bytes(
        runtime: &Runtime,
        name: impl Into<String>,
        bytes: &[u8],
        origin: &str,
    ) -> Result<Self> {
        let load = || {
            let graph = Graph::read(bytes)?;
            for port in &graph.inputs {
                if let Element::Other(_) = port.element {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        format!("the model's input {:?} takes {}", port.name, port.element),
                    )
                    .with_hint(
                        "clipcore gives float32, uint8, int32 or int64: export the model with such inputs",
                    ));
                }
            }
            let (backend, remarks) = runtime.load(bytes, &graph)?;
            Ok((graph, backend, remarks))
        };
        let (graph, backend, remarks) = load().map_err(|e: Error| e.with_context("model", origin))?;
        let batched: Vec<bool> = graph.inputs.iter().map(has_batch_axis).collect();
        let any_length = graph.inputs.iter().all(|port| {
            has_batch_axis(port)
                && !port.shape.as_ref().is_some_and(|shape| matches!(shape[0], Dim::Fixed(_)))
        });
        let names = graph.outputs.iter().map(|port| port.name.as_str().into()).collect();
        Ok(Self {
            name: name.into(),
            origin: origin.to_owned(),
            graph,
            backend,
            runs_on: runtime.found().backend.clone(),
            remarks,
            batched,
            limit: if any_length { BATCH } else { 1 },
            names,
        })
    }

    /// Says that the first axis of its inputs is not a batch: a spectrogram of any length, for example. Items are then
    /// the graph's inputs whole.
    #[must_use]
    pub fn unbatched(mut self) -> Self {
        self.batched.fill(false);
        self.limit = 1;
        self
    }

    /// What the file says about itself.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The backend that runs it.
    pub fn runs_on(&self) -> &str {
        &self.runs_on
    }

    /// What had to be left out when it was loaded, such as accelerators that are not there.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// How many items go through in one run at most.
    pub fn batch_limit(&self) -> usize {
        self.limit
    }

    /// An item's tensors in the order of the graph's inputs.
    fn arrange<'a>(&self, item: &'a Tensors) -> Result<Vec<&'a Tensor>> {
        let inputs = &self.graph.inputs;
        if item.len() != inputs.len() {
            return Err(self.wrong(format!("it takes {} inputs, not {}", inputs.len(), item.len())));
        }
        let by_position = item.iter().all(|(name, _)| name.is_empty());
        let found = inputs.iter().enumerate().map(|(i, port)| {
            let tensor = if by_position { item.iter().nth(i).map(|(_, t)| t) } else { item.get(&port.name) };
            let tensor =
                tensor.ok_or_else(|| self.wrong(format!("its input {:?} is not given", port.name)))?;
            self.fits(port, self.batched[i], tensor)?;
            Ok(tensor)
        });
        found.collect()
    }

    fn fits(&self, port: &Port, batched: bool, tensor: &Tensor) -> Result<()> {
        let Some(shape) = &port.shape else { return Ok(()) };
        let wanted = &shape[usize::from(batched)..];
        let same = |(dim, len): (&Dim, &usize)| match dim {
            Dim::Fixed(n) => n == len,
            Dim::Any(_) => true,
        };
        if wanted.len() == tensor.ndim() && wanted.iter().zip(tensor.shape()).all(same) {
            return Ok(());
        }
        let wanted = wanted.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ");
        Err(self.wrong(format!("its input {:?} takes [{wanted}], not {:?}", port.name, tensor.shape())))
    }

    fn wrong(&self, what: String) -> Error {
        Error::invalid(format!("the model was asked something it does not take: {what}"))
            .with_context("model", &self.origin)
            .with_hint("its card and what asks it must agree on shapes: see `clipcore models info`")
    }

    fn run(&self, items: &[Vec<&Tensor>]) -> Result<Vec<Tensors>> {
        // One item is given as it is; several are copied together.
        let stacked: Vec<Tensor> = match items {
            [_] => Vec::new(),
            _ => (0..self.batched.len())
                .map(|i| stack(Axis(0), &items.iter().map(|item| item[i].view()).collect::<Vec<_>>()))
                .collect::<Result<_, _>>()
                .map_err(|e| self.wrong(e.to_string()))?,
        };
        let inputs: Vec<ArrayViewD<'_, f32>> = match items {
            [item] => {
                let whole = item.iter().zip(&self.batched).map(|(tensor, batched)| {
                    let view = tensor.view();
                    if *batched { view.insert_axis(Axis(0)) } else { view }
                });
                whole.collect()
            }
            _ => stacked.iter().map(|tensor| tensor.view()).collect(),
        };
        let outputs = self.backend.run(&inputs).map_err(|e| e.with_context("model", &self.origin))?;
        for (output, name) in outputs.iter().zip(&self.names) {
            // Without an early end, so that many numbers are looked at at once.
            if !output.iter().fold(true, |finite, x| finite & x.is_finite()) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("the model's output {name:?} is not finite"),
                )
                .with_context("model", &self.origin)
                .with_hint("its weights are damaged or overflow: `clipcore models verify` compares the file with its card"));
            }
        }
        self.shares(outputs, items.len())
    }

    /// Each item's share of the outputs.
    fn shares(&self, outputs: Vec<Tensor>, items: usize) -> Result<Vec<Tensors>> {
        let shares = self.batched.contains(&true);
        let mut answers = vec![Tensors::new(); items];
        for (output, name) in outputs.into_iter().zip(&self.names) {
            let whole = output.ndim() > 0 && shares && output.shape()[0] == items;
            if items > 1 && !whole {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "the model answered {items} items with an output {name:?} of shape {:?}",
                        output.shape()
                    ),
                )
                .with_context("model", &self.origin)
                .with_hint("its first axis is no batch: say `batch = false` in its card"));
            }
            for (n, answer) in answers.iter_mut().enumerate().skip(1) {
                let share = output.index_axis(Axis(0), n).to_owned();
                *answer = std::mem::take(answer).with(name.clone(), share);
            }
            let first = if whole { output.index_axis_move(Axis(0), 0) } else { output };
            let first = if items > 1 { first.as_standard_layout().into_owned() } else { first };
            answers[0] = std::mem::take(&mut answers[0]).with(name.clone(), first);
        }
        Ok(answers)
    }
}

impl Model for OnnxModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let items: Vec<Vec<&Tensor>> = batch.iter().map(|item| self.arrange(item)).collect::<Result<_>>()?;
        let same = |a: &Vec<&Tensor>, b: &Vec<&Tensor>| a.iter().zip(b).all(|(a, b)| a.shape() == b.shape());
        let mut answers = Vec::with_capacity(batch.len());
        for alike in items.chunk_by(same) {
            for items in alike.chunks(self.limit) {
                answers.extend(self.run(items)?);
            }
        }
        Ok(answers)
    }
}

fn has_batch_axis(port: &Port) -> bool {
    match &port.shape {
        Some(shape) if shape.len() >= 2 => matches!(shape[0], Dim::Any(_) | Dim::Fixed(1)),
        _ => false,
    }
}

/// A model file's bytes, where it is not too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(e, path))?.len();
    if size > MAX_FILE {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the model takes {} MiB; clipcore takes up to {} MiB", size >> 20, MAX_FILE >> 20),
        )
        .with_context("model", path.display())
        .with_hint("use a smaller model: a detector runs it several times a second for each stream"));
    }
    std::fs::read(path).map_err(|e| Error::io(e, path))
}
