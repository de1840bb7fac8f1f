use std::io::BufRead;

use crate::Result;

/// Lines longer than this are refused: an event is small, and one line must not fill the memory.
pub(super) const MAX_LINE: usize = 1 << 20;

/// What [`read_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line is in the buffer, without its end.
    Whole,
    /// The line was longer than [`MAX_LINE`]; the buffer holds its beginning.
    TooLong,
    /// There are no more lines.
    End,
}

/// Reads the next line into `buffer`, which is cleared first.
pub(crate) fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> Result<Line> {
    buffer.clear();
    let (mut any, mut too_long) = (false, false);
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let newline = memchr::memchr(b'\n', chunk);
        let part = &chunk[..newline.unwrap_or(chunk.len())];
        let room = MAX_LINE - buffer.len();
        too_long |= part.len() > room;
        buffer.extend_from_slice(&part[..part.len().min(room)]);
        let used = newline.map_or(chunk.len(), |n| n + 1);
        reader.consume(used);
        if newline.is_some() {
            break;
        }
    }
    Ok(match (any, too_long) {
        (false, _) => Line::End,
        (true, true) => Line::TooLong,
        (true, false) => Line::Whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_whatever_the_chunks_and_long_ones_are_cut() {
        let long = "x".repeat(MAX_LINE + 5);
        let text = format!("one\n\n{long}\nlast");
        for chunk in [1 << 16, 7] {
            let mut reader = std::io::BufReader::with_capacity(chunk, text.as_bytes());
            let mut buffer = Vec::new();
            let mut next = || (read_line(&mut reader, &mut buffer).unwrap(), buffer.len());
            assert_eq!(next(), (Line::Whole, 3));
            assert_eq!(next(), (Line::Whole, 0));
            assert_eq!(next(), (Line::TooLong, MAX_LINE));
            assert_eq!(next(), (Line::Whole, 4));
            assert_eq!(next(), (Line::End, 0));
        }
    }
}
