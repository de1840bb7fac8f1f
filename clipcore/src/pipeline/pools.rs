//! Detectors of other processes, for which a stream waits.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Sleep;

use super::driver::Driver;
use super::reference::{Lagging, Reference};
use crate::Result;
use crate::log::Looked;

/// The pools of a stream.
#[derive(Debug)]
pub(super) struct Pools {
    all: Vec<Pool>,
    /// Media has ended, and until then the stream waits for pools that have not seen all of it.
    until: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Pool {
    name: String,
    told: Option<Lagging>,
}

impl Pools {
    pub(super) fn new(names: Vec<String>) -> Self {
        let all = names.into_iter().map(|name| Pool { name, told: None }).collect();
        Self { all, until: None }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What is new about who lags.
    pub(super) fn lagging(&mut self, reference: &Reference) -> Vec<String> {
        let news = self.all.iter_mut().enumerate().filter_map(|(index, pool)| {
            let now = reference.lagging(index);
            let name = &pool.name;
            match (std::mem::replace(&mut pool.told, now), now) {
                (before, now) if before == now => None,
                (_, Some(Lagging::Silent)) => Some(format!(
                    "nothing has come from the detectors of pool {name:?}, and the stream waits for them: is one of their \
                     processes running (serve --role detect --pool {name})?"
                )),
                (_, Some(Lagging::LeftBehind)) => {
                    Some(format!("the detectors of pool {name:?} are far behind: the stream goes on without them"))
                }
                (_, None) => Some(format!("the detectors of pool {name:?} have caught up")),
            }
        });
        news.collect()
    }

    /// Waits for so long, or as long as it takes.
    pub(super) fn wait(&mut self, patience: Option<Duration>) {
        self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience.unwrap_or(Duration::MAX))));
    }

    /// Ready when they were waited for long enough; else pending.
    pub(super) async fn forsaken(&mut self) {
        match &mut self.until {
            Some(until) => until.await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// A pool has come further.
    pub(super) async fn looked(&mut self, looked: Looked) -> Result<()> {
        let Looked { pool, camera, at, over } = looked;
        if let Some(index) = self.pools.all.iter().position(|p| p.name == pool) {
            self.reference.looked(index, &camera, at, over);
            self.follow_reference().await?;
            if self.pools.until.is_some() && self.reference.awaited().is_none() {
                self.pools.until = None;
                self.wind_down();
            }
        }
        Ok(())
    }

    /// Media has ended, and pools have not said all in time.
    pub(super) fn forsake_pools(&mut self) {
        self.pools.until = None;
        self.notice(
            "some detectors of other processes have not seen the end: it ends without them".to_owned(),
            None,
        );
        self.reference.forsake();
        self.wind_down();
    }
}
