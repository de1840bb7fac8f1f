//! Events whose instants are known beforehand, let in as the clock passes them.

use std::iter::Peekable;

use crate::Timestamp;
use crate::event::AnyEvent;

/// Events in order of `at`.
pub(super) type Events = Box<dyn Iterator<Item = AnyEvent> + Send>;

/// The schedules of one stream, merged by `at`.
#[derive(Default)]
pub(super) struct Schedules {
    lists: Vec<Peekable<Events>>,
}

impl std::fmt::Debug for Schedules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schedules({})", self.lists.len())
    }
}

impl Schedules {
    pub(super) fn new(lists: Vec<Events>) -> Self {
        Self { lists: lists.into_iter().map(Iterator::peekable).collect() }
    }

    /// When the next event is due.
    pub(super) fn due(&mut self) -> Option<Timestamp> {
        self.lists.iter_mut().filter_map(|list| list.peek().map(AnyEvent::at)).min()
    }

    /// The next event, where it is due at or before `to`.
    pub(super) fn take(&mut self, to: Timestamp) -> Option<AnyEvent> {
        let due = self.due().filter(|due| *due <= to)?;
        let list =
            self.lists.iter_mut().find_map(|l| (l.peek().map(AnyEvent::at) == Some(due)).then_some(l))?;
        list.next()
    }

    /// Forgets what is due at or before `to`: an earlier run let it in.
    pub(super) fn skip(&mut self, to: Timestamp) {
        while self.take(to).is_some() {}
    }
}
