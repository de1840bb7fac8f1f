//! Long work without the interpreter's lock: on a thread of its own, while the caller's thread stays open to Ctrl-C and
//! tells about progress.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clipcore::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use crate::error::OrRaise;
use crate::gate;

/// How long Ctrl-C may wait to be noticed.
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// What the work knows of the thread that waits for it.
#[derive(Debug)]
pub(crate) struct Caller {
    cancelled: AtomicBool,
    progress: Sender<(usize, usize, String)>,
}

impl Caller {
    /// Tells that `done` of `total` are finished, the last of them `what`.
    pub(crate) fn progress(&self, done: usize, total: usize, what: String) {
        // Nobody listens once the caller has given up.
        let _ = self.progress.send((done, total, what));
    }

    /// Whether the caller still wants the result.
    ///
    /// # Errors
    /// `Cancelled` where it does not.
    pub(crate) fn check(&self) -> Result<()> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
            false => Ok(()),
        }
    }
}

/// Runs `work` on another thread. `progress` is called on this one, as `(done, total, what)`; an exception from it, or from
/// Ctrl-C, asks the work to stop, waits for that and is raised.
pub(crate) fn detached<T, E>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Caller) -> std::result::Result<T, E> + Send,
) -> PyResult<T>
where
    T: Send,
    E: Send,
    std::result::Result<T, E>: OrRaise<T>,
{
    let (tell, told) = mpsc::channel();
    let caller = Caller { cancelled: AtomicBool::new(false), progress: tell };
    let (finish, finished) = mpsc::channel();
    let finished = Mutex::new(finished);
    std::thread::scope(|scope| {
        let running = &caller;
        std::thread::Builder::new().name("clipcore-work".into()).spawn_scoped(scope, move || {
            let _ = finish.send(work(running));
        })?;
        let mut raised = None;
        let result = loop {
            let next = gate::detach(py, || {
                finished.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(STEP)
            });
            if raised.is_none()
                && let Err(error) = turn(py, progress, &told)
            {
                caller.cancelled.store(true, Ordering::Relaxed);
                raised = Some(error);
            }
            match next {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
                Ok(result) => break Some(result),
            }
        };
        match (raised, result) {
            (Some(raised), _) => Err(raised),
            (None, Some(result)) => result.or_raise(py),
            (None, None) => Err(Error::new(ErrorKind::Internal, "the work has panicked")).or_raise(py),
        }
    })
}

fn turn(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    told: &mpsc::Receiver<(usize, usize, String)>,
) -> PyResult<()> {
    py.check_signals()?;
    for news in told.try_iter() {
        if let Some(progress) = progress {
            progress.call1(news)?;
        }
    }
    Ok(())
}
