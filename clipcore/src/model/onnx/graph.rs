//! What an ONNX file says about itself, read without any runtime, so that both backends are told the same and a file
//! that would bring one of them down is refused before it gets there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::guard;
use super::wire::{Fields, Value, malformed};
use crate::{Error, ErrorKind, Result};

/// The operator sets (`ai.onnx`) that both backends know.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// How deep graphs may lie in graphs (`If`, `Loop`).
const MAX_DEPTH: usize = 16;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// 8-bit unsigned.
    U8,
    /// 32-bit signed.
    I32,
    /// 64-bit signed.
    I64,
    /// Another one, by its number in ONNX's `TensorProto.DataType`.
    Other(i32),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::U8 => "uint8",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Other(3) => "int8",
            Self::Other(8) => "string",
            Self::Other(9) => "bool",
            Self::Other(10) => "float16",
            Self::Other(11) => "float64",
            Self::Other(n) => return write!(f, "type {n}"),
        })
    }
}

/// One dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this long.
    Fixed(usize),
    /// Any length; the graph's name for it, where it has one.
    Any(Option<String>),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Any(Some(name)) => f.write_str(name),
            Self::Any(None) => f.write_str("?"),
        }
    }
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// Its dimensions, where the graph declares them.
    pub shape: Option<Vec<Dim>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.element)?;
        match &self.shape {
            Some(shape) => {
                write!(f, " [{}]", shape.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "))
            }
            None => Ok(()),
        }
    }
}

/// An ONNX file's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// What must be given, without the weights.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
    /// Version of the operator set `ai.onnx`.
    pub opset: i64,
    /// The program that wrote the file.
    pub producer: String,
    /// The operators in use, those of other sets as `domain::name`.
    pub operators: BTreeSet<String>,
    /// How many numbers the weights hold.
    pub parameters: u64,
}

/// What reading gathers.
#[derive(Default)]
struct Reading<'a> {
    operators: BTreeSet<String>,
    parameters: u64,
    /// Small constant lists of whole numbers, by name: what shapes are made of.
    lists: HashMap<&'a str, Vec<i64>>,
}

impl Graph {
    /// Reads the description in an ONNX file.
    ///
    /// # Errors
    /// `InvalidInput` where the bytes are not a whole ONNX model, saying what they look like instead; `Unsupported`
    /// where the model keeps weights outside the file, uses an operator set that no backend knows, or would blow up
    /// to a size that no detector needs.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        guard::signature(bytes)?;
        let (mut ir, mut producer, mut graph, mut opset) = (0, "", None, None);
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => ir = value.int()?,
                (2, value) => producer = value.text()?,
                (7, value) => graph = Some(value.bytes()?),
                (8, value) => {
                    let (domain, version) = operator_set(value.bytes()?)?;
                    if domain.is_empty() || domain == "ai.onnx" {
                        opset = Some(version);
                    }
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| malformed("it has no graph"))?;
        if ir < 3 {
            return Err(malformed("its version is not one of ONNX's"));
        }
        let opset = opset.ok_or_else(|| malformed("it does not say which operator set it uses"))?;
        if !OPSETS.contains(&opset) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the model uses operator set {opset}; clipcore runs sets {} to {}",
                    OPSETS.start(),
                    OPSETS.end()
                ),
            )
            .with_hint("export it again with opset_version=17, or convert it with onnx.version_converter"));
        }
        let mut reading = Reading::default();
        let (inputs, outputs) = reading.graph(graph, 0)?;
        if outputs.is_empty() {
            return Err(malformed("its graph has no outputs"));
        }
        Ok(Self {
            inputs,
            outputs,
            opset,
            producer: producer.to_owned(),
            operators: reading.operators,
            parameters: reading.parameters,
        })
    }
}

impl<'a> Reading<'a> {
    fn graph(&mut self, bytes: &'a [u8], depth: usize) -> Result<(Vec<Port>, Vec<Port>)> {
        if depth > MAX_DEPTH {
            return Err(malformed("its graphs are nested too deeply"));
        }
        let (mut inputs, mut outputs, mut weights) = (Vec::new(), Vec::new(), HashSet::new());
        let mut nodes = Vec::new();
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => nodes.push(value.bytes()?),
                (5, value) => {
                    weights.insert(self.weight(value.bytes()?)?);
                }
                (11, value) => inputs.push(port(value.bytes()?)?),
                (12, value) => outputs.push(port(value.bytes()?)?),
                _ => {}
            }
        }
        // Weights come after nodes in the file, and a node's shape may be one of them.
        for node in nodes {
            self.node(node, depth)?;
        }
        inputs.retain(|port| !weights.contains(port.name.as_str()));
        Ok((inputs, outputs))
    }

    fn weight(&mut self, bytes: &'a [u8]) -> Result<&'a str> {
        let weight = guard::tensor(bytes)?;
        self.parameters = self.parameters.saturating_add(weight.elements);
        if let Some(list) = weight.list {
            self.lists.insert(weight.name, list);
        }
        Ok(weight.name)
    }

    fn node(&mut self, bytes: &'a [u8], depth: usize) -> Result<()> {
        let (mut inputs, mut outputs, mut operator, mut domain) = (Vec::new(), Vec::new(), "", "");
        let mut constant = None;
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => inputs.push(value.text()?),
                (2, value) => outputs.push(value.text()?),
                (4, value) => operator = value.text()?,
                (5, value) => constant = self.attribute(value.bytes()?, depth)?.or(constant),
                (7, value) => domain = value.text()?,
                _ => {}
            }
        }
        self.operators.insert(match domain {
            "" | "ai.onnx" => operator.to_owned(),
            domain => format!("{domain}::{operator}"),
        });
        if operator == "Constant"
            && let (Some(list), Some(name)) = (constant, outputs.first())
        {
            self.lists.insert(name, list);
        }
        guard::growth(operator, &inputs, &self.lists)
    }

    /// Looks into an attribute; gives the list of whole numbers that it holds as a tensor.
    fn attribute(&mut self, bytes: &'a [u8], depth: usize) -> Result<Option<Vec<i64>>> {
        let mut list = None;
        for field in Fields::of(bytes) {
            match field? {
                (5, Value::Bytes(tensor)) => {
                    let tensor = guard::tensor(tensor)?;
                    self.parameters = self.parameters.saturating_add(tensor.elements);
                    list = tensor.list;
                }
                (6 | 11, Value::Bytes(graph)) => {
                    self.graph(graph, depth + 1)?;
                }
                (8, value) => value.ints(list.get_or_insert_default())?,
                _ => {}
            }
        }
        Ok(list)
    }
}

fn operator_set(bytes: &[u8]) -> Result<(&str, i64)> {
    let (mut domain, mut version) = ("", 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => domain = value.text()?,
            (2, value) => version = value.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn port(bytes: &[u8]) -> Result<Port> {
    let mut port = Port { name: String::new(), element: Element::Other(0), shape: None };
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => port.name = value.text()?.to_owned(),
            (2, value) => {
                for kind in Fields::of(value.bytes()?) {
                    if let (1, tensor) = kind? {
                        (port.element, port.shape) = tensor_type(tensor.bytes()?)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(port)
}

fn tensor_type(bytes: &[u8]) -> Result<(Element, Option<Vec<Dim>>)> {
    let (mut element, mut shape) = (Element::Other(0), None);
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => {
                element = match value.int()? {
                    1 => Element::F32,
                    2 => Element::U8,
                    6 => Element::I32,
                    7 => Element::I64,
                    n => Element::Other(i32::try_from(n).unwrap_or(0)),
                }
            }
            (2, value) => {
                let dims = Fields::of(value.bytes()?).map(|dim| dimension(dim?.1.bytes()?));
                shape = Some(dims.collect::<Result<Vec<_>>>()?);
            }
            _ => {}
        }
    }
    Ok((element, shape))
}

fn dimension(bytes: &[u8]) -> Result<Dim> {
    let mut dim = Dim::Any(None);
    for field in Fields::of(bytes) {
        match field? {
            // Some exporters write 0 or -1 for a length that is not known.
            (1, value) => {
                dim =
                    usize::try_from(value.int()?).ok().filter(|n| *n > 0).map_or(Dim::Any(None), Dim::Fixed);
            }
            (2, value) => {
                let name = value.text()?;
                dim = Dim::Any((!name.is_empty()).then(|| name.to_owned()));
            }
            _ => {}
        }
    }
    Ok(dim)
}
