//! The way from clipcore's threads into the interpreter, which closes before the interpreter ends: a thread that comes in
//! later, or comes back, would crash the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use pyo3::prelude::*;

/// The thread that ends the interpreter, once it does.
static CLOSED_BY: OnceLock<ThreadId> = OnceLock::new();
/// Calls that are inside, or about to go in.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// User code that is still running may hold up the end so long, in steps of so much.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(2);

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs Python code on a thread of clipcore's own; `None` where the interpreter takes no more calls.
pub(crate) fn attach<R>(work: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let _leave = Leave;
    if CLOSED_BY.get().is_some() {
        return None;
    }
    Python::try_attach(work)
}

/// Works without the interpreter's lock on a thread of Python's. Where the interpreter is ending meanwhile, the thread stays here for
/// good, as daemon threads do; one that is on its way back already is waited for.
pub(crate) fn detach<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let (done, _leave) = py.detach(|| (work(), come_back()));
    done
}

fn come_back() -> Leave {
    let me = std::thread::current().id();
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let leave = Leave;
    if CLOSED_BY.get().is_some_and(|closer| *closer != me) {
        drop(leave);
        loop {
            std::thread::park();
        }
    }
    leave
}

/// Lets nobody in any more, and waits for those inside to come out.
#[pyfunction]
pub(crate) fn close(py: Python<'_>) {
    let _ = CLOSED_BY.set(std::thread::current().id());
    py.detach(|| {
        for _ in 0..PATIENCE.div_duration_f32(STEP) as u32 {
            if INSIDE.load(Ordering::SeqCst) == 0 {
                return;
            }
            std::thread::sleep(STEP);
        }
    });
}
