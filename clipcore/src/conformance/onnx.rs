//! Writes small ONNX files, so that tests of models need no file from elsewhere.

/// Builds an ONNX model node by node.
///
/// ```
/// use clipcore::conformance::onnx::{Attribute, OnnxFile};
///
/// let bytes = OnnxFile::new()
///     .input("x", "float32", &["N", "4"])
///     .weight_f32("w", &[4, 2], &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0, 0.0])
///     .node("MatMul", &["x", "w"], &["y"], &[])
///     .node("Softmax", &["y"], &["scores"], &[("axis", Attribute::Int(1))])
///     .output("scores", "float32", &["N", "2"])
///     .bytes();
/// # assert!(!bytes.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct OnnxFile {
    opset: i64,
    nodes: Vec<u8>,
    weights: Vec<u8>,
    ports: Vec<u8>,
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f32),
    /// A list of whole numbers.
    Ints(&'a [i64]),
}

impl Default for OnnxFile {
    fn default() -> Self {
        Self::new()
    }
}

impl OnnxFile {
    /// A model without nodes, of operator set 17.
    pub fn new() -> Self {
        Self { opset: 17, nodes: Vec::new(), weights: Vec::new(), ports: Vec::new() }
    }

    /// Says which operator set it uses.
    #[must_use]
    pub fn opset(mut self, version: i64) -> Self {
        self.opset = version;
        self
    }

    /// Adds an input. A dimension that is no number has any length, under that name. `element` is `float32`, `uint8`,
    /// `int32`, `int64` or `float16`.
    #[must_use]
    pub fn input(mut self, name: &str, element: &str, shape: &[&str]) -> Self {
        bytes(&mut self.ports, 11, &port(name, element, shape));
        self
    }

    /// Adds an output, described as an input is.
    #[must_use]
    pub fn output(mut self, name: &str, element: &str, shape: &[&str]) -> Self {
        bytes(&mut self.ports, 12, &port(name, element, shape));
        self
    }

    /// Adds weights.
    #[must_use]
    pub fn weight_f32(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        self.weight(name, 1, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds whole numbers, such as a shape.
    #[must_use]
    pub fn weight_i64(self, name: &str, shape: &[usize], values: &[i64]) -> Self {
        self.weight(name, 7, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn weight(mut self, name: &str, element: u64, shape: &[usize], raw: Vec<u8>) -> Self {
        let mut tensor = Vec::new();
        for dim in shape {
            number(&mut tensor, 1, *dim as u64);
        }
        number(&mut tensor, 2, element);
        bytes(&mut tensor, 8, name.as_bytes());
        bytes(&mut tensor, 9, &raw);
        bytes(&mut self.weights, 5, &tensor);
        self
    }

    /// Adds a node.
    #[must_use]
    pub fn node(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Self {
        let mut node = Vec::new();
        inputs.iter().for_each(|name| bytes(&mut node, 1, name.as_bytes()));
        outputs.iter().for_each(|name| bytes(&mut node, 2, name.as_bytes()));
        bytes(&mut node, 4, operator.as_bytes());
        for (name, value) in attributes {
            let mut attribute = Vec::new();
            bytes(&mut attribute, 1, name.as_bytes());
            let kind = match value {
                Attribute::Int(n) => {
                    number(&mut attribute, 3, *n as u64);
                    2
                }
                Attribute::Float(x) => {
                    varint(&mut attribute, (2 << 3) | 5);
                    attribute.extend(x.to_le_bytes());
                    1
                }
                Attribute::Ints(list) => {
                    list.iter().for_each(|n| number(&mut attribute, 8, *n as u64));
                    7
                }
            };
            number(&mut attribute, 20, kind);
            bytes(&mut node, 5, &attribute);
        }
        bytes(&mut self.nodes, 1, &node);
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut graph = self.nodes.clone();
        bytes(&mut graph, 2, b"graph");
        graph.extend(&self.weights);
        graph.extend(&self.ports);
        let mut set = Vec::new();
        number(&mut set, 2, self.opset as u64);
        let mut file = Vec::new();
        number(&mut file, 1, 8);
        bytes(&mut file, 2, b"clipcore");
        bytes(&mut file, 7, &graph);
        bytes(&mut file, 8, &set);
        file
    }
}

fn port(name: &str, element: &str, shape: &[&str]) -> Vec<u8> {
    let mut dims = Vec::new();
    for dim in shape {
        let mut d = Vec::new();
        match dim.parse() {
            Ok(n) => number(&mut d, 1, n),
            Err(_) => bytes(&mut d, 2, dim.as_bytes()),
        }
        bytes(&mut dims, 1, &d);
    }
    let code = match element {
        "uint8" => 2,
        "int32" => 6,
        "int64" => 7,
        "float16" => 10,
        _ => 1,
    };
    let (mut tensor, mut kind, mut port) = (Vec::new(), Vec::new(), Vec::new());
    number(&mut tensor, 1, code);
    bytes(&mut tensor, 2, &dims);
    bytes(&mut kind, 1, &tensor);
    bytes(&mut port, 1, name.as_bytes());
    bytes(&mut port, 2, &kind);
    port
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn number(out: &mut Vec<u8>, field: u64, n: u64) {
    varint(out, field << 3);
    varint(out, n);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, (field << 3) | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}
