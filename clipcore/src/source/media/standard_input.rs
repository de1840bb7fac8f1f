//! Standard input for a child that may have to be started again.

use std::io::{Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::Result;

/// What may be kept for a second start; more than ffmpeg reads before it knows what it has.
const KEPT: usize = 16 << 20;
/// Blocks that may wait for the child.
const WAITING: usize = 16;
const BLOCK: usize = 1 << 16;

/// Reads standard input once and hands it to one child after another: a child that ends before it gave anything is
/// followed by one that gets the same bytes again.
#[derive(Debug, Clone)]
pub(super) struct StandardInput {
    blocks: Arc<Mutex<Receiver<Vec<u8>>>>,
    /// What children were given; `None` when no other child will need it.
    kept: Arc<Mutex<Option<Vec<u8>>>>,
}

impl StandardInput {
    /// Begins to read `input`, in a thread that ends with it.
    pub(super) fn read(mut input: impl Read + Send + 'static) -> Result<Self> {
        let (tx, blocks) = sync_channel(WAITING);
        thread::Builder::new().name("stdin".into()).spawn(move || {
            let mut bytes = vec![0; BLOCK];
            loop {
                match input.read(&mut bytes) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Ok(n) if n > 0 && tx.send(bytes[..n].to_vec()).is_ok() => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { blocks: Arc::new(Mutex::new(blocks)), kept: Arc::new(Mutex::new(Some(Vec::new()))) })
    }

    /// No other child will need what was read so far.
    pub(super) fn forget(&self) {
        *lock(&self.kept) = None;
    }

    /// Gives a child everything from the start, then what comes, until it ends or the input does.
    pub(super) fn feed(&self, child: ChildStdin) -> Result<()> {
        let input = self.clone();
        thread::Builder::new().name("stdin-to-child".into()).spawn(move || drop(input.copy(child)))?;
        Ok(())
    }

    fn copy(self, mut child: impl Write) -> std::io::Result<()> {
        // An earlier child's thread gives up its turn with the block on which it finds that the child has ended.
        let blocks = lock(&self.blocks);
        let again = lock(&self.kept).clone().unwrap_or_default();
        child.write_all(&again)?;
        while let Ok(block) = blocks.recv() {
            let mut kept = lock(&self.kept);
            *kept = kept.take().filter(|k| k.len() + block.len() <= KEPT).map(|mut k| {
                k.extend_from_slice(&block);
                k
            });
            drop(kept);
            child.write_all(&block)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails;

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_second_child_gets_everything_again() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let input = StandardInput::read(std::io::Cursor::new(bytes.clone())).unwrap();
        assert!(input.clone().copy(Fails).is_err());
        let mut second = Vec::new();
        input.copy(&mut second).unwrap();
        assert!(second == bytes, "{} of {} bytes", second.len(), bytes.len());
    }
}
