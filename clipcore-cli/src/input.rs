//! Files as they come: plain, gzip or zstd, told apart by their first bytes; `-` is standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use clipcore::Error;

/// What every text input is read through.
pub(crate) type Input = BufReader<Box<dyn Read + Send>>;

const BUFFER: usize = 1 << 16;

/// Opens an input and unpacks it where it is packed.
///
/// # Errors
/// With the path where it cannot be opened or its first bytes cannot be read.
pub(crate) fn open(path: &Path) -> clipcore::Result<Input> {
    if path == Path::new("-") {
        return unpack(
            BufReader::with_capacity(BUFFER, Box::new(std::io::stdin()) as Box<dyn Read + Send>),
            path,
        );
    }
    let file = File::open(path).map_err(|e| {
        Error::io(e, path)
            .with_operation("open")
            .with_hint("name a file of events as JSON lines, or the folder of an earlier run")
    })?;
    unpack(BufReader::with_capacity(BUFFER, Box::new(file) as Box<dyn Read + Send>), path)
}

fn unpack(mut reader: Input, path: &Path) -> clipcore::Result<Input> {
    let first = reader.fill_buf().map_err(|e| Error::io(e, path))?;
    let inner: Box<dyn Read + Send> = if first.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(reader))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(reader).map_err(|e| {
            Error::invalid("this is not a whole zstd file")
                .with_source(e)
                .with_context("path", path.display())
        })?;
        Box::new(decoder)
    } else {
        return Ok(reader);
    };
    Ok(BufReader::with_capacity(BUFFER, inner))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut text = String::new();
        open(file.path()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn packed_and_plain_files_read_alike() {
        let text = "one\ntwo\n";
        assert_eq!(read(text.as_bytes()), text);
        let gzip = |text: &str| {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            gz.finish().unwrap()
        };
        assert_eq!(read(&gzip(text)), text);
        assert_eq!(
            read(&[gzip("one\n"), gzip("two\n")].concat()),
            text,
            "a gzip file may hold several members"
        );
        let zstd =
            ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(read(&zstd), text);
        assert_eq!(read(b""), "");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(Path::new("no/such.jsonl")).err().unwrap();
        assert!(error.to_string().contains("no/such.jsonl"), "{error}");
    }
}
