use std::sync::Arc;

/// A dense block of numbers, the currency of models.
pub type Tensor = ndarray::ArrayD<f32>;

/// What goes into a model for one item, or comes out of it: tensors in the model's order, each under its name.
///
/// A model with one input takes a [`Tensor`] as it is (`tensor.into()`); tensors without a name stand for the
/// model's inputs by position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensors {
    parts: Vec<(Arc<str>, Tensor)>,
}

impl Tensors {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor under a name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, tensor: Tensor) -> Self {
        self.parts.push((name.into(), tensor));
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The first one: all there is where a model has a single output.
    pub fn first(&self) -> Option<&Tensor> {
        self.parts.first().map(|(_, tensor)| tensor)
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.parts.iter().find(|(n, _)| &**n == name).map(|(_, tensor)| tensor)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.parts.iter().map(|(name, tensor)| (&**name, tensor))
    }
}

impl From<Tensor> for Tensors {
    fn from(tensor: Tensor) -> Self {
        Self { parts: vec![("".into(), tensor)] }
    }
}
