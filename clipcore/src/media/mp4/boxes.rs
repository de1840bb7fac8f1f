use crate::{Error, Result};

/// A box's type and size as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The four-character code.
    pub kind: [u8; 4],
    /// Bytes of the header itself: 8 or 16.
    pub header_len: usize,
    /// Bytes of the whole box.
    pub len: u64,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` where more bytes are needed.
    ///
    /// # Errors
    /// `InvalidInput` for sizes that cannot be (smaller than the header; "to the end of file" is refused, since
    /// clipcore reads streams).
    pub fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let kind = [head[4], head[5], head[6], head[7]];
        let (header_len, len) = match size {
            1 => match rest.first_chunk::<8>() {
                Some(large) => (16, u64::from_be_bytes(*large)),
                None => return Ok(None),
            },
            n => (8, u64::from(n)),
        };
        if len < header_len as u64 {
            return Err(Error::invalid(format!("a box {} says it is {len} bytes long", show(kind))));
        }
        Ok(Some(Self { kind, header_len, len }))
    }
}

pub(super) fn show(kind: [u8; 4]) -> String {
    format!("'{}'", kind.escape_ascii())
}

/// Walks the boxes inside a byte slice, and reads numbers from it with bounds checks.
#[derive(Debug, Clone, Copy)]
pub struct BoxReader<'a> {
    bytes: &'a [u8],
}

impl<'a> BoxReader<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next box and a reader of its payload; `None` at the end.
    ///
    /// # Errors
    /// `InvalidInput` where a box reaches past the end.
    pub fn next_box(&mut self) -> Result<Option<([u8; 4], BoxReader<'a>)>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let header = Header::read(self.bytes)?
            .filter(|h| h.len <= self.bytes.len() as u64)
            .ok_or_else(|| Error::invalid("a box reaches past the end of what holds it"))?;
        let (this, rest) = self.bytes.split_at(header.len as usize);
        self.bytes = rest;
        Ok(Some((header.kind, BoxReader { bytes: &this[header.header_len..] })))
    }

    /// The first box of this kind among the next ones.
    ///
    /// # Errors
    /// As [`next_box`](Self::next_box).
    pub fn find(mut self, kind: &[u8; 4]) -> Result<Option<BoxReader<'a>>> {
        while let Some((found, payload)) = self.next_box()? {
            if &found == kind {
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }

    /// As [`find`](Self::find), where the box must be there.
    ///
    /// # Errors
    /// `InvalidInput` where it is not.
    pub fn need(self, kind: &[u8; 4]) -> Result<BoxReader<'a>> {
        self.find(kind)?.ok_or_else(|| Error::invalid(format!("the box {} is missing", show(*kind))))
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// `InvalidInput` where fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .bytes
            .split_at_checked(n)
            .ok_or_else(|| Error::invalid("a box is shorter than its fields"))?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// The next 16 bits, big-endian.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next 32 bits, big-endian.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 64 bits, big-endian.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Version and flags of a full box.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn version_flags(&mut self) -> Result<(u8, u32)> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }
}
