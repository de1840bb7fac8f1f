//! What models take and give, as numpy arrays.

use clipcore::model::{Tensor, Tensors};
use numpy::{PyArray, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

/// One array where there is one without a name, else a dictionary of them; copied.
pub(crate) fn to_python(py: Python<'_>, tensors: &Tensors) -> PyResult<Py<PyAny>> {
    let array = |tensor: &Tensor| PyArray::from_array(py, tensor).into_any();
    if let (1, Some(("", tensor))) = (tensors.len(), tensors.iter().next()) {
        return Ok(array(tensor).unbind());
    }
    let named = PyDict::new(py);
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        let name = if name.is_empty() { index.to_string() } else { name.to_owned() };
        named.set_item(name, array(tensor))?;
    }
    Ok(named.into_any().unbind())
}

/// An array, a mapping of names to arrays, or a list or tuple of arrays; anything numpy takes for float32.
pub(crate) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Tensors> {
    if let Ok(named) = value.cast::<PyDict>() {
        return named.iter().try_fold(Tensors::new(), |all, (name, array)| {
            Ok(all.with(name.extract::<String>()?, tensor(&array)?))
        });
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.try_fold(Tensors::new(), |all, array| Ok(all.with("", tensor(&array?)?)));
    }
    Ok(tensor(value)?.into())
}

fn tensor(value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'_, f32>>() {
        return Ok(array.to_owned_array());
    }
    let py = value.py();
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let asarray = ASARRAY
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.getattr("asarray")?.unbind()))?
        .bind(py);
    let array = asarray.call1((value, "float32"))?;
    let array: PyReadonlyArrayDyn<'_, f32> = array
        .extract()
        .map_err(|_| PyTypeError::new_err("a model's input must be numbers that fit float32"))?;
    Ok(array.to_owned_array())
}
