use std::io::Read;
use std::path::Path;

use super::jsonl::Lines;
use crate::event::{AnyEvent, Clock, EpochStart, Event, Kinds};
use crate::{Error, Result, StreamId};

/// So many bad lines are kept; more are counted.
const MAX_BAD: usize = 100;

/// A complete file of events, sorted by `at`, for
/// [`StreamSpec::with_schedule`](crate::pipeline::StreamSpec::with_schedule).
///
/// # Examples
/// ```
/// use clipcore::StreamId;
/// use clipcore::event::Kinds;
/// use clipcore::source::Schedule;
///
/// let lines = b"{\"type\":\"marker\",\"at\":9,\"data\":{}}\n\nnonsense\n{\"type\":\"marker\",\"at\":2,\"data\":{}}\n";
/// let schedule = Schedule::read(&lines[..], &StreamId::new("s1")?, &Kinds::builtin())?;
/// let at: Vec<f64> = schedule.events().iter().map(|e| e.at().as_secs_f64()).collect();
/// assert_eq!(at, [2.0, 9.0]);
/// assert!(schedule.bad()[0].to_string().contains("line: 3"));
/// # Ok::<(), clipcore::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Schedule {
    events: Vec<AnyEvent>,
    bad: Vec<Error>,
    bad_count: u64,
}

impl Schedule {
    /// Reads a file; see [`read`](Self::read).
    ///
    /// # Errors
    /// `NotFound` or `Io`, naming the path.
    pub fn open(path: impl AsRef<Path>, stream: &StreamId, kinds: &Kinds) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io(e, path))?;
        Self::read(file, stream, kinds).map_err(|error| error.with_context("path", path.display()))
    }

    /// Reads events, one JSON object a line; those that name no stream are of `stream`. Lines that are no event, or
    /// do not say when in stream time, are set aside. Clock and epoch records are left out: a schedule
    /// is paced by the stream it is let into.
    ///
    /// # Errors
    /// `Io` where `reader` fails.
    pub fn read(mut reader: impl Read, stream: &StreamId, kinds: &Kinds) -> Result<Self> {
        let mut schedule = Self::default();
        let mut lines = Lines::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = match reader.read(&mut chunk) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let mut rest = &chunk[..read];
            while let Some(line) = lines.next(&mut rest, read == 0) {
                match line.and_then(|(number, text)| parse(text, stream, kinds, number)) {
                    Ok(event) => schedule.events.extend(event),
                    Err(error) => schedule.set_aside(error),
                }
            }
            if read == 0 {
                schedule.events.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
                return Ok(schedule);
            }
        }
    }

    fn set_aside(&mut self, error: Error) {
        self.bad_count += 1;
        if self.bad.len() < MAX_BAD {
            self.bad.push(error);
        }
    }

    /// The events, in order.
    pub fn events(&self) -> &[AnyEvent] {
        &self.events
    }

    /// What is wrong with the first hundred bad lines, each with its number.
    pub fn bad(&self) -> &[Error] {
        &self.bad
    }

    /// How many lines are bad.
    pub fn bad_count(&self) -> u64 {
        self.bad_count
    }
}

impl IntoIterator for Schedule {
    type Item = AnyEvent;
    type IntoIter = std::vec::IntoIter<AnyEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

fn parse(line: &[u8], stream: &StreamId, kinds: &Kinds, number: u64) -> Result<Option<AnyEvent>> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let event = kinds
        .parse(line)
        .and_then(|incoming| incoming.with_default_stream(stream).resolve(&mut |_| None))
        .map_err(|error| error.with_context("line", number))?;
    Ok((![Clock::KIND, EpochStart::KIND].contains(&event.kind())).then_some(event))
}
