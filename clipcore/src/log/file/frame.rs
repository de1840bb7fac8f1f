//! One record on disk: a line of text.
//!
//! ```text
//! <crc32> <offset> <durable> <record as JSON>\n
//! 1c291ca3 17 12 {"specversion":"1.0","id":"m-1","source":"twitch",…}
//! ```
//!
//! `crc32` is CRC-32/ISO-HDLC (the one of gzip) over everything after it up to the line end, in eight hex
//! digits. JSON has no raw line ends, so the line end is the length. `durable` says that every record before
//! that offset was on the medium when this line was written: it tells damage to acknowledged records (an error)
//! from a commit that a crash cut short (cut off on opening).

use std::io::{self, BufRead, Write};

use crate::log::Offset;

/// A line that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) offset: Offset,
    pub(super) durable: Offset,
    pub(super) json: &'a [u8],
}

/// Appends the line of a record to `out`.
pub(super) fn encode(out: &mut Vec<u8>, offset: Offset, durable: Offset, json: &str) {
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    let body = out.len();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{offset} {durable} {json}");
    let crc = crc32fast::hash(&out[body..]);
    let _ = write!(&mut out[start..], "{crc:08x}");
    out.push(b'\n');
}

/// Reads a line without its line end.
pub(super) fn decode(line: &[u8]) -> Result<Frame<'_>, &'static str> {
    let (crc, body) = split(line).ok_or("it is not a record")?;
    let crc = std::str::from_utf8(crc)
        .ok()
        .filter(|c| c.len() == 8)
        .and_then(|c| u32::from_str_radix(c, 16).ok())
        .ok_or("it has no checksum")?;
    if crc != crc32fast::hash(body) {
        return Err("its checksum does not match");
    }
    let (offset, rest) = split(body).ok_or("it has no offset")?;
    let (durable, json) = split(rest).ok_or("it has no durable mark")?;
    let number = |text| std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    Ok(Frame {
        offset: number(offset).ok_or("its offset is not a number")?,
        durable: number(durable).ok_or("its durable mark is not a number")?,
        json,
    })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The record that was expected.
    Frame(Frame<'a>),
    /// Something else.
    Bad(&'static str),
    /// Nothing.
    End,
}

/// Walks through the lines of a segment, checking that offsets follow each other.
#[derive(Debug)]
pub(super) struct Frames<R> {
    input: R,
    line: Vec<u8>,
    /// The byte at which the next line begins.
    pub(super) pos: u64,
    /// The offset that the next line should have.
    pub(super) next: Offset,
}

impl<R: BufRead> Frames<R> {
    /// `input` stands at byte `pos` of the segment, where record `next` should be.
    pub(super) fn new(input: R, pos: u64, next: Offset) -> Self {
        Self { input, line: Vec::new(), pos, next }
    }

    /// Reads the next line. After `Bad` the place is the bad line's beginning.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        self.line.clear();
        let read = self.input.read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Step::End);
        }
        let Some((b'\n', line)) = self.line.split_last() else {
            return Ok(Step::Bad("it is cut short"));
        };
        Ok(match decode(line) {
            Ok(frame) if frame.offset == self.next => {
                self.pos += read as u64;
                self.next += 1;
                Step::Frame(frame)
            }
            Ok(frame) if frame.offset > self.next => Step::Bad("records before it are missing"),
            Ok(_) => Step::Bad("it is there twice"),
            Err(why) => Step::Bad(why),
        })
    }

    /// Whether a later line says that record `self.next` was durable: then the bad line is damage, not
    /// a commit that was cut short. `Bad` must have been the last step.
    pub(super) fn was_durable(&mut self) -> io::Result<bool> {
        loop {
            if let Some((b'\n', line)) = self.line.split_last()
                && tails(line).any(|tail| decode(tail).is_ok_and(|frame| frame.durable > self.next))
            {
                return Ok(true);
            }
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(false);
            }
        }
    }
}

/// The parts of a line at which a record could begin, if the line end before it was damaged; not so many that
/// hostile text in a record makes opening slow.
fn tails(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let digits = |head: &[u8]| head[8] == b' ' && head[..8].iter().all(u8::is_ascii_hexdigit);
    line.windows(9).enumerate().filter(move |(_, head)| digits(head)).map(|(at, _)| &line[at..]).take(1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_what_the_documentation_says() {
        let mut out = Vec::new();
        encode(&mut out, 17, 12, r#"{"a":1}"#);
        assert_eq!(String::from_utf8(out).unwrap(), "864132a1 17 12 {\"a\":1}\n");
    }

    proptest! {
        #[test]
        fn lines_come_back(offset: u64, durable: u64, json in "[^\n]{0,200}") {
            let mut out = Vec::new();
            encode(&mut out, offset, durable, &json);
            let frame = decode(&out[..out.len() - 1]).unwrap();
            prop_assert_eq!(frame, Frame { offset, durable, json: json.as_bytes() });
        }

        #[test]
        fn any_changed_bit_is_noticed(offset: u64, json in "[^\n]{1,80}", at: prop::sample::Index, bit in 0..8_u8) {
            let mut out = Vec::new();
            encode(&mut out, offset, 0, &json);
            out.pop();
            let whole = out.clone();
            let at = at.index(out.len());
            out[at] ^= 1_u8 << bit;
            // The checksum's own digits may change case and mean the same.
            prop_assert!(decode(&out).is_err() || out.eq_ignore_ascii_case(&whole));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut frames = Frames::new(&bytes[..], 0, 0);
            while let Step::Frame(_) = frames.step().unwrap() {}
            frames.was_durable().unwrap();
        }
    }
}
