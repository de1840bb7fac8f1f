//! The protobuf wire format, as much of it as reading an ONNX file's description takes.

use crate::{Error, Result};

/// One field's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes; nothing that is read here is kept so.
    Fixed,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(malformed("a field has another type than ONNX gives it")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed("a name is not UTF-8"))
    }

    pub(super) fn int(self) -> Result<i64> {
        match self {
            Self::Varint(n) => Ok(n as i64),
            _ => Err(malformed("a field has another type than ONNX gives it")),
        }
    }

    /// Appends a repeated integer, packed or not.
    pub(super) fn ints(self, out: &mut Vec<i64>) -> Result<()> {
        match self {
            Self::Varint(n) => out.push(n as i64),
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    out.push(varint(&mut bytes)? as i64);
                }
            }
            Self::Fixed => return Err(malformed("a field has another type than ONNX gives it")),
        }
        Ok(())
    }

    /// How many numbers a repeated field holds that takes `size` bytes a number when packed.
    pub(super) fn count(self, size: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len() / size,
            _ => 1,
        }
    }

    /// How many varints a repeated field holds.
    pub(super) fn count_varints(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.iter().filter(|b| **b < 0x80).count(),
            _ => 1,
        }
    }
}

/// The fields of a message, in order.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<(u64, Value<'a>)> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => take(&mut self.0, 8).map(|_| Value::Fixed)?,
            2 => {
                let len = varint(&mut self.0)?;
                let len = usize::try_from(len).map_err(|_| malformed("a length is out of range"))?;
                Value::Bytes(take(&mut self.0, len)?)
            }
            5 => take(&mut self.0, 4).map(|_| Value::Fixed)?,
            _ => return Err(malformed("a field's type is unknown")),
        };
        if key >> 3 == 0 {
            return Err(malformed("a field's number is 0"));
        }
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (taken, rest) =
        bytes.split_at_checked(n).ok_or_else(|| malformed("it ends in the middle of a field"))?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(malformed("a number takes more than ten bytes"))
}

pub(super) fn malformed(why: &'static str) -> Error {
    Error::invalid("the file is not a whole ONNX model")
        .with_context("why", why)
        .with_hint("fetch or export it again, and compare its size and SHA-256 with the source's")
}
