use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::event::PlatformEvent;

/// A break that says how long it is, is believed up to this.
const LONGEST: Duration = Duration::from_secs(900);
/// Signals may have begun this long ago.
pub(super) const ONSETS: Duration = Duration::from_secs(300);
/// Breaks remembered at once; more than one waits only for fusion that lags behind.
const MAX: usize = 16;

/// What is evidence in a break too: people who ask for a clip, and the game itself.
const HEARD: [&str; 2] = ["marker", "game_event"];

/// Whether a detector is heard in breaks.
pub(super) fn heard(detector: &str, further: &[String]) -> bool {
    HEARD.contains(&detector) || further.iter().any(|name| name == detector)
}

/// When the platform showed advertisements instead of the stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breaks {
    /// First instant, and the first that is no longer in it.
    spans: VecDeque<(Timestamp, Timestamp)>,
}

impl Breaks {
    /// Takes in what the platform did; events come in order. A break ends with its `ad_end`, at the latest after the
    /// duration it came with, or after `unknown` where it came with none.
    pub(super) fn see(&mut self, at: Timestamp, event: &PlatformEvent, unknown: Duration) {
        match &*event.kind {
            "ad_start" => {
                let told = event.duration.filter(|d| d.is_finite() && *d >= 0.0);
                let length =
                    told.map_or(unknown, |secs| Duration::from_secs_f64(secs.min(LONGEST.as_secs_f64())));
                let end = at + length;
                match self.spans.back_mut().filter(|(_, until)| at <= *until) {
                    Some((_, until)) => *until = end.max(*until),
                    None => self.spans.push_back((at, end)),
                }
                if self.spans.len() > MAX {
                    self.spans.pop_front();
                }
            }
            "ad_end" => {
                if let Some((_, until)) = self.spans.back_mut() {
                    *until = at.min(*until);
                }
            }
            _ => {}
        }
    }

    /// Whether this instant lies in a break.
    pub(super) fn cover(&self, at: Timestamp) -> bool {
        self.spans.iter().any(|(from, until)| *from <= at && at < *until)
    }

    /// Nothing before this instant will be asked for any more. The latest break stays: its end may still come.
    pub(super) fn forget(&mut self, before: Timestamp) {
        while self.spans.len() > 1 && self.spans[0].1 <= before {
            self.spans.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(events: &[(i64, &str, Option<f64>)]) -> Vec<i64> {
        let mut breaks = Breaks::default();
        for (at, kind, duration) in events {
            let event = PlatformEvent { kind: (*kind).into(), count: None, duration: *duration };
            breaks.see(Timestamp::from_secs(*at), &event, Duration::from_secs(180));
        }
        (0..2000).filter(|s| breaks.cover(Timestamp::from_secs(*s))).collect()
    }

    #[test]
    fn a_break_ends_as_told_or_at_last_by_itself() {
        let of = |from: i64, until: i64| (from..until).collect::<Vec<_>>();
        assert_eq!(breaks(&[(100, "ad_start", None), (160, "ad_end", None)]), of(100, 160));
        assert_eq!(breaks(&[(100, "ad_start", None)]), of(100, 280), "its end got lost");
        assert_eq!(breaks(&[(100, "ad_start", Some(30.0))]), of(100, 130));
        assert_eq!(
            breaks(&[(100, "ad_start", Some(90.0)), (130, "ad_end", None)]),
            of(100, 130),
            "cut short"
        );
        assert_eq!(breaks(&[(100, "ad_start", Some(30.0)), (120, "ad_start", Some(30.0))]), of(100, 150));
        assert_eq!(breaks(&[(100, "ad_start", Some(1e9))]), of(100, 1000));
        assert_eq!(breaks(&[(100, "ad_start", Some(f64::NAN))]), of(100, 280));
        assert_eq!(breaks(&[(100, "ad_end", None), (200, "raid", None)]), of(0, 0));
    }
}
