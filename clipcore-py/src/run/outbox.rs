//! The way from a running pipeline to the Python code that reads it: bounded, so that a reader who is slow holds up the
//! pipeline and nothing else.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::gate;
use tokio::sync::Notify;

/// Moments and clips that may wait for the reader.
const ROOM: usize = 64;
/// Signals, notices and failures that may wait; further ones are counted and dropped.
const NEWS: usize = 100_000;

/// What the reader gets: a word for its kind, and the thing, mostly as JSON.
pub(super) enum Item {
    Moment(String),
    Clip(String),
    Signal(String),
    Notice(String),
    Failure(crate::detector::Fault),
    Progress(f64, String),
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Moments and clips among them.
    held: usize,
    /// Only the latest counts.
    progress: Option<Item>,
    dropped: u64,
    /// Nobody reads any more.
    abandoned: bool,
    ended: bool,
    waker: Option<Py<PyAny>>,
}

#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    news: Condvar,
    room: Notify,
}

/// What a reader finds.
pub(super) enum Read {
    Item(Item),
    /// Nothing yet.
    Nothing,
    /// The run has ended, and everything was read.
    End,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a moment or a clip; waits while the reader has enough to read.
    pub(super) async fn push(&self, item: Item) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.lock();
                if state.abandoned {
                    return;
                }
                if state.held < ROOM {
                    state.held += 1;
                    state.items.push_back(item);
                    break;
                }
            }
            room.await;
        }
        self.wake();
    }

    /// Hands over something that holds nobody up.
    pub(super) fn tell(&self, item: Item) {
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        match item {
            Item::Progress(..) => state.progress = Some(item),
            _ if state.items.len() >= NEWS => state.dropped += 1,
            _ => state.items.push_back(item),
        }
        drop(state);
        self.wake();
    }

    /// The run has ended: what is there can still be read.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake();
    }

    /// Nobody will read any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        let (items, waker) = (std::mem::take(&mut state.items), state.waker.take());
        drop(state);
        drop((items, waker));
        self.room.notify_waiters();
        self.news.notify_all();
    }

    fn wake(&self) {
        self.news.notify_all();
        if self.lock().waker.is_none() {
            return;
        }
        // Never with the lock: whoever holds the interpreter may wait for it.
        gate::attach(|py| {
            let waker = self.lock().waker.as_ref().map(|w| w.clone_ref(py));
            // A loop that was closed takes no calls.
            let _ = waker.map(|w| w.call0(py));
        });
    }

    /// Called from any thread whenever there is something to read.
    pub(super) fn set_waker(&self, waker: Option<Py<PyAny>>) {
        let old = std::mem::replace(&mut self.lock().waker, waker);
        drop(old);
    }

    /// Takes the next item; waits for it up to `patience`.
    pub(super) fn read(&self, patience: Duration) -> Read {
        let mut state = self.lock();
        if state.items.is_empty() && state.progress.is_none() && !state.ended && !patience.is_zero() {
            state = self.news.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(progress) = state.progress.take() {
            return Read::Item(progress);
        }
        if let Some(item) = state.items.pop_front() {
            if matches!(item, Item::Moment(_) | Item::Clip(_)) {
                state.held -= 1;
                self.room.notify_one();
            }
            return Read::Item(item);
        }
        if state.dropped > 0 {
            let n = std::mem::take(&mut state.dropped);
            return Read::Item(Item::Notice(format!(
                "{n} signals and notices were dropped: nobody read them"
            )));
        }
        if state.ended || state.abandoned { Read::End } else { Read::Nothing }
    }
}
