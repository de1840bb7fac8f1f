use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What may wait in a queue.
pub(super) trait Queued {
    /// Whether it may be dropped when the queue is full; what may not is rare.
    fn may_drop(&self) -> bool {
        true
    }
}

impl Queued for bytes::Bytes {}

/// A bounded queue between threads. When it is full, a live input drops the oldest item and counts it; a file waits.
#[derive(Debug)]
pub(super) struct BoundedQueue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What a pop gave.
pub(super) enum Popped<T> {
    Item(T),
    /// Nothing came in time.
    Empty,
    /// Nothing will come any more.
    Closed,
}

impl<T: Queued> BoundedQueue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
            capacity,
            dropped: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; where there is no room, the oldest that may be dropped makes some.
    pub(super) fn push_dropping(&self, item: T) {
        let mut state = self.lock();
        if state.items.len() >= self.capacity
            && let Some(oldest) = state.items.iter().position(Queued::may_drop)
        {
            state.items.remove(oldest);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_all();
    }

    /// Adds an item, waiting for room; `false` where the queue is closed.
    pub(super) fn push_waiting(&self, item: T) -> bool {
        let mut state = self.lock();
        while state.items.len() >= self.capacity && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Adds an item if there is room, else gives it back.
    pub(super) fn try_push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.items.len() >= self.capacity || state.closed {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn pop(&self, patience: Duration) -> Popped<T> {
        let mut state = self.lock();
        if state.items.is_empty() && !state.closed {
            state = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        let popped = match state.items.pop_front() {
            Some(item) => Popped::Item(item),
            None if state.closed => Popped::Closed,
            None => Popped::Empty,
        };
        drop(state);
        self.changed.notify_all();
        popped
    }

    /// No item will be added any more; those that are there can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
