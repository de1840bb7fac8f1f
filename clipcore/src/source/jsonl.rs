use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Item, Source, SourceOutput};
use crate::event::Kinds;
use crate::{Error, Result, Timestamp};

/// Lines longer than this are skipped.
pub(super) const MAX_LINE: usize = 1 << 20;
/// How often a growing file is looked at.
const FOLLOW: Duration = Duration::from_millis(200);

/// Reads events, one JSON object a line, from a pipe, standard input or a growing file.
///
/// An event is canonical CloudEvents or the short form; one without a stream is of the stream that the source
/// feeds. A line that is no event is reported with its number, and the rest goes on. For a regular file
/// that is complete, a [`Schedule`](super::Schedule) lets each event in at its own instant instead.
///
/// # Examples
/// ```
/// use clipcore::event::Kinds;
/// use clipcore::source::{JsonlSource, Source};
///
/// let source = JsonlSource::new("chat", &b"{}\n"[..], Kinds::builtin());
/// assert_eq!(source.name(), "chat");
/// ```
pub struct JsonlSource {
    name: String,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    kinds: Kinds,
    follow: bool,
}

impl fmt::Debug for JsonlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonlSource").field("name", &self.name).finish_non_exhaustive()
    }
}

impl JsonlSource {
    /// Reads from `reader` to its end; `name` is what messages call it.
    pub fn new(
        name: impl Into<String>,
        reader: impl AsyncRead + Send + Unpin + 'static,
        kinds: Kinds,
    ) -> Self {
        Self { name: name.into(), reader: Box::new(reader), kinds, follow: false }
    }

    /// Opens a file or a FIFO.
    ///
    /// # Errors
    /// `NotFound` or `Io`, naming the path.
    pub async fn open(path: impl AsRef<Path>, kinds: Kinds) -> Result<Self> {
        let path = path.as_ref();
        let file = tokio::fs::File::open(path).await.map_err(|e| Error::io(e, path))?;
        Ok(Self::new(path.display().to_string(), file, kinds))
    }

    /// At the end of what is there, waits for more until the pipeline stops, as `tail -f` does.
    #[must_use]
    pub fn with_follow(mut self) -> Self {
        self.follow = true;
        self
    }
}

#[async_trait]
impl Source for JsonlSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn run(mut self: Box<Self>, out: SourceOutput) -> Result<()> {
        let mut lines = Lines::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = match out.stop().run_until_cancelled(self.reader.read(&mut chunk)).await {
                None => return Ok(()),
                Some(read) => read?,
            };
            if read == 0 && self.follow {
                let nap = tokio::time::sleep(FOLLOW);
                if out.stop().run_until_cancelled(nap).await.is_none() {
                    return Ok(());
                }
                continue;
            }
            let mut rest = &chunk[..read];
            while let Some(line) = lines.next(&mut rest, read == 0) {
                let item = match line.and_then(|(number, text)| parse(text, number, &self.kinds, &out)) {
                    Ok(None) => continue,
                    Ok(Some(item)) => item,
                    Err(error) => Item::Bad(Arc::new(error)),
                };
                out.send(item).await?;
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

/// The event of a line, placed on the timeline where it says itself when it was.
fn parse(line: &[u8], number: u64, kinds: &Kinds, out: &SourceOutput) -> Result<Option<Item>> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let parsed = kinds.parse(line).and_then(|incoming| {
        let incoming = incoming.with_default_stream(out.stream());
        if incoming.at().is_some() || incoming.time().is_none() {
            return Ok(Item::Event(incoming.resolve(&mut |_| None)?));
        }
        // Its data is checked here, where the line number is known; its instant by the clock, later.
        incoming.clone().resolve(&mut |_| Some(Timestamp::ZERO))?;
        Ok(Item::Incoming(incoming))
    });
    parsed.map(Some).map_err(|error| error.with_context("line", number))
}

/// Cuts bytes into lines of bounded length.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    taken: bool,
    too_long: bool,
    number: u64,
}

impl Lines {
    /// The next whole line of what was kept and `rest`, with its number; at the `end`, also one without a line end.
    pub(super) fn next(&mut self, rest: &mut &[u8], end: bool) -> Option<Result<(u64, &[u8])>> {
        if std::mem::take(&mut self.taken) {
            self.line.clear();
        }
        let (part, complete) = match rest.iter().position(|b| *b == b'\n') {
            Some(at) => (&rest[..at], true),
            None => (*rest, false),
        };
        *rest = &rest[(part.len() + usize::from(complete)).min(rest.len())..];
        if self.line.len() + part.len() > MAX_LINE {
            self.too_long = true;
            self.line.clear();
        }
        if !self.too_long {
            self.line.extend_from_slice(part);
        }
        let pending = !self.line.is_empty() || self.too_long;
        let done = complete || (end && pending);
        if !done {
            return None;
        }
        self.taken = true;
        self.number += 1;
        if std::mem::take(&mut self.too_long) {
            return Some(Err(Error::invalid(format!("a line is longer than {MAX_LINE} bytes"))
                .with_context("line", self.number)));
        }
        const BOM: &[u8] = b"\xef\xbb\xbf";
        let line =
            if self.number == 1 { self.line.strip_prefix(BOM).unwrap_or(&self.line) } else { &self.line };
        Some(Ok((self.number, line)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::StreamId;

    /// Everything that a source says, with at most `chunk` bytes a read.
    async fn read(text: Vec<u8>, chunk: usize) -> Vec<Item> {
        struct Slow(Vec<u8>, usize, usize);
        impl AsyncRead for Slow {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let n = self.1.min(self.0.len() - self.2).min(buf.remaining());
                buf.put_slice(&self.0[self.2..self.2 + n]);
                self.2 += n;
                std::task::Poll::Ready(Ok(()))
            }
        }
        let (tx, mut rx) = mpsc::channel(4);
        let out = SourceOutput::new(StreamId::new("s").unwrap(), tx, CancellationToken::new());
        let source = JsonlSource::new("test", Slow(text, chunk, 0), Kinds::builtin());
        let run = tokio::spawn(Box::new(source).run(out));
        let mut items = Vec::new();
        while let Some(item) = rx.recv().await {
            items.push(item);
        }
        run.await.unwrap().unwrap();
        items
    }

    fn text(item: &Item) -> String {
        match item {
            Item::Event(event) => format!("event {} {}", event.kind(), event.at()),
            Item::Incoming(incoming) => format!("incoming {}", incoming.kind()),
            Item::Bad(error) => format!("bad {error}"),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn bad_lines_are_numbered_and_the_rest_goes_on_however_it_is_cut() {
        let mut input = b"\xef\xbb\xbf{\"type\":\"marker\",\"at\":1,\"data\":{}}\r\n\n".to_vec();
        input.extend_from_slice(b"nonsense\n");
        input.extend_from_slice(br#"{"type":"chat.message","at":2,"data":{"user":7}}"#);
        input.extend_from_slice(b"\n\xff\xfe\n");
        input.extend(std::iter::repeat_n(b'x', MAX_LINE + 1));
        input.extend_from_slice(b"\n{\"type\":\"marker\",\"time\":\"2026-01-01T00:00:00Z\",\"data\":{}}\n");
        input.extend_from_slice(br#"{"type":"marker","at":3,"data":{}}"#);
        for chunk in [1, 7, 4096, 1 << 22] {
            let items = read(input.clone(), chunk).await;
            let says: Vec<String> = items.iter().map(text).collect();
            let expected = [
                "event marker 1.000 s",
                "line: 3",
                "line: 4",
                "line: 5",
                "longer than 1048576 bytes (line: 6)",
                "incoming marker",
                "event marker 3.000 s",
            ];
            assert_eq!(says.len(), expected.len(), "{says:?}");
            for (said, expected) in says.iter().zip(expected) {
                assert!(said.contains(expected), "{said:?} lacks {expected:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_growing_file_is_followed_until_the_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.jsonl");
        let line = "{\"type\":\"marker\",\"at\":1,\"data\":{}}\n";
        std::fs::write(&path, line).unwrap();
        let (tx, mut rx) = mpsc::channel(4);
        let stop = CancellationToken::new();
        let out = SourceOutput::new(StreamId::new("s").unwrap(), tx, stop.clone());
        let source = JsonlSource::open(&path, Kinds::builtin()).await.unwrap().with_follow();
        let run = tokio::spawn(Box::new(source).run(out));
        assert_eq!(text(&rx.recv().await.unwrap()), "event marker 1.000 s");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, line.replace(":1,", ":9,").as_bytes()).unwrap();
        assert_eq!(text(&rx.recv().await.unwrap()), "event marker 9.000 s");
        stop.cancel();
        run.await.unwrap().unwrap();
        assert!(rx.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = JsonlSource::open("no/such/file.jsonl", Kinds::builtin()).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
        assert!(error.to_string().contains("no/such/file.jsonl"), "{error}");
    }
}
