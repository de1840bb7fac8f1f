//! Files that are something else, lie about their size, or would grow out of bounds.

use std::collections::HashMap;

use super::wire::{Fields, Value, malformed};
use crate::{Error, ErrorKind, Result};

/// Model files above this size are refused.
pub(super) const MAX_FILE: u64 = 512 << 20;
/// A tensor that a graph makes out of a constant shape holds at most so many elements (256 MiB of float32).
const MAX_ELEMENTS: u64 = 64 << 20;
/// Longer lists are no shapes.
const MAX_RANK: usize = 64;

/// Names what the bytes are where they are no ONNX.
pub(crate) fn signature(bytes: &[u8]) -> Result<()> {
    let what = match bytes {
        [] => "the file is empty",
        [0x80, 2..=5, ..] => "this is a Python pickle (an older PyTorch checkpoint), not an ONNX model",
        [b'P', b'K', 3 | 5, ..] => "this is a zip archive (a PyTorch checkpoint or .npz), not an ONNX model",
        [0x1f, 0x8b, ..] => "this is a gzip file, not an ONNX model",
        [0x89, b'H', b'D', b'F', ..] => "this is an HDF5 file (Keras), not an ONNX model",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "this is a TensorFlow Lite model, not an ONNX model",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "this is a pointer of Git LFS, not the model itself"
        }
        _ if bytes.trim_ascii_start().starts_with(b"<") => "this is a web page, not an ONNX model",
        _ => return Ok(()),
    };
    Err(Error::invalid(what).with_hint(
        "clipcore takes ONNX files: export with torch.onnx.export or tf2onnx, or fetch a known model with \
         `clipcore models pull`",
    ))
}

/// What is known of a constant tensor.
pub(super) struct Weight<'a> {
    pub(super) name: &'a str,
    pub(super) elements: u64,
    /// Its numbers, where they are few and whole.
    pub(super) list: Option<Vec<i64>>,
}

/// Reads a tensor's description and checks that the numbers it speaks of are there.
pub(super) fn tensor(bytes: &[u8]) -> Result<Weight<'_>> {
    let (mut dims, mut kind, mut name, mut raw, mut typed) = (Vec::new(), 0, "", None, 0usize);
    let mut list = Vec::new();
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => value.ints(&mut dims)?,
            (2, value) => kind = value.int()?,
            (4, value) => typed += value.count(4),
            (5 | 11, value) => typed += value.count_varints(),
            (7, value) => {
                typed += value.count_varints();
                if typed <= MAX_RANK {
                    value.ints(&mut list)?;
                }
            }
            (6, _) => typed += 1,
            (8, value) => name = value.text()?,
            (9, Value::Bytes(bytes)) => raw = Some(bytes),
            (10, value) => typed += value.count(8),
            (13, _) | (14, Value::Varint(1)) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the model keeps its weights in another file; clipcore takes models in one file",
                )
                .with_hint(
                    "write it as one: onnx.save(onnx.load(path), path, save_as_external_data=False)",
                ));
            }
            _ => {}
        }
    }
    let elements = dims.iter().try_fold(1u64, |n, d| u64::try_from(*d).ok().and_then(|d| n.checked_mul(d)));
    let elements = elements.ok_or_else(|| malformed("a tensor's dimensions make no sense"))?;
    let there = match (raw, size_of(kind)) {
        (Some(raw), Some(size)) => raw.len() as u64 == elements.saturating_mul(size),
        (Some(_), None) => true,
        // Complex numbers take two places, packed halves and flags may take less than one each.
        (None, _) => typed as u64 >= elements || elements == 0,
    };
    if !there {
        return Err(malformed("a tensor has other numbers than it says"));
    }
    if let (Some(raw), 7) = (raw, kind)
        && raw.len() <= 8 * MAX_RANK
    {
        list = raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default())).collect();
    }
    let few = kind == 7 && elements as usize == list.len() && list.len() <= MAX_RANK;
    Ok(Weight { name, elements, list: few.then_some(list) })
}

/// Bytes a number takes in `raw_data`.
fn size_of(kind: i64) -> Option<u64> {
    match kind {
        2 | 3 | 9 => Some(1),
        4 | 5 | 10 | 16 => Some(2),
        1 | 6 | 12 => Some(4),
        7 | 11 | 13 | 14 => Some(8),
        15 => Some(16),
        _ => None,
    }
}

/// Refuses operators that make something huge out of nothing: some bytes in the file, all of the memory when run.
pub(super) fn growth(operator: &str, inputs: &[&str], lists: &HashMap<&str, Vec<i64>>) -> Result<()> {
    let shape = match operator {
        "ConstantOfShape" => inputs.first(),
        "Expand" | "Tile" => inputs.get(1),
        _ => None,
    };
    let Some(list) = shape.and_then(|name| lists.get(name)) else { return Ok(()) };
    let elements = list.iter().fold(1u64, |n, d| n.saturating_mul(d.unsigned_abs().max(1)));
    if elements <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "the model blows up: {operator} makes {elements} numbers out of a shape, more than {MAX_ELEMENTS}"
        ),
    )
    .with_hint("no detector needs this; do not use the file unless you know who made it"))
}
