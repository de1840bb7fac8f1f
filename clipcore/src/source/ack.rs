use tokio::sync::watch;

use crate::{Error, ErrorKind, Result};

/// A request to be told; see [`Item::Ack`](super::Item::Ack). Firing one fires all that were made before it.
#[derive(Debug, Clone)]
pub struct Ack {
    number: u64,
    fired: watch::Sender<u64>,
}

impl Ack {
    /// Says that everything before it is durable.
    pub fn fire(&self) {
        self.fired.send_if_modified(|fired| {
            let newer = self.number > *fired;
            *fired = (*fired).max(self.number);
            newer
        });
    }
}

/// A source's side of its [`Ack`]s.
#[derive(Debug)]
pub struct Acks {
    made: u64,
    fired: watch::Sender<u64>,
    seen: watch::Receiver<u64>,
}

impl Default for Acks {
    fn default() -> Self {
        let (fired, seen) = watch::channel(0);
        Self { made: 0, fired, seen }
    }
}

impl Acks {
    /// The next request; its number is one more than that of the last, from 1.
    pub fn request(&mut self) -> Ack {
        self.made += 1;
        Ack { number: self.made, fired: self.fired.clone() }
    }

    /// How many have been made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// The number of the latest that was fired, 0 where none was.
    pub fn fired(&self) -> u64 {
        *self.seen.borrow()
    }

    /// Waits until the one numbered `number` was fired.
    ///
    /// # Errors
    /// `Cancelled` where that cannot be any more.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub async fn wait(&mut self, number: u64) -> Result<()> {
        let waited = self.seen.wait_for(|fired| *fired >= number).await;
        waited.map(drop).map_err(|_| Error::new(ErrorKind::Cancelled, "the pipeline has stopped"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_later_ack_stands_for_earlier_ones() {
        let mut acks = Acks::default();
        let (first, second) = (acks.request(), acks.request());
        assert_eq!(acks.fired(), 0);
        second.fire();
        first.fire();
        assert_eq!(acks.fired(), 2);
        acks.wait(1).await.unwrap();
    }
}
