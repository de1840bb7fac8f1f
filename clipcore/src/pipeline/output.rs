//! What sinks and cutters report, into the log and the ledger.

use std::sync::Arc;

use super::deliver::Report;
use super::driver::Driver;
use crate::cutter::ClipState;
use crate::log::{Receipt, Record};
use crate::sink::Delivery;
use crate::{Error, ErrorKind, Result};

impl Driver {
    /// Takes in what sinks and cutters report, as much as is there, with one append.
    pub(super) async fn reports(&mut self, first: Report) -> Result<()> {
        let mut receipts = Vec::new();
        let mut next = Some(first);
        while let Some(report) = next {
            match report {
                Report::Delivered { sink, item, outcome } => {
                    receipts.extend(self.delivered(sink, &item, outcome));
                    self.outgoing.sink_has_room(sink);
                }
                Report::Told { cutter, moment, outcome } => {
                    self.outgoing.cutter_has_room(cutter);
                    if let Err(error) = outcome {
                        let camera = self.outgoing.cameras[cutter].clone();
                        self.outgoing.ledger.no_clip(&moment.id, &camera);
                        let text = format!("no clip of moment {} on camera {camera}: {error}", moment.id);
                        self.notice(text, Some(error.kind()));
                        self.counters.update(|s| s.clips_failed += 1);
                    }
                }
                Report::Finished { camera, outcome } => {
                    self.outgoing.cutter_finished();
                    if let Err(error) = outcome {
                        self.notice(format!("camera {camera}: {error}"), Some(error.kind()));
                        self.state.cutter_error.get_or_insert(error.with_context("camera", camera));
                    }
                }
            }
            next = if receipts.len() < self.shared.config.batch {
                self.outgoing.reports.try_recv().ok()
            } else {
                None
            };
        }
        let records = receipts.into_iter().map(Record::Receipt).collect();
        for record in self.append(records).await? {
            if let Record::Receipt(receipt) = record {
                self.outgoing.ledger.settle(&receipt.item, receipt.rev, &receipt.sink);
            }
        }
        Ok(())
    }

    /// The receipt for an item that a sink took, or will never take.
    fn delivered(&mut self, sink: usize, item: &Delivery, outcome: Result<Receipt>) -> Option<Receipt> {
        let name = self.outgoing.sink_names[sink].clone();
        let receipt = item.receipt(&name);
        let error = match outcome {
            Ok(said) => {
                let receipt = Receipt {
                    location: said.location,
                    duplicate: said.duplicate,
                    dead_letter: said.dead_letter,
                    ..receipt
                };
                if said.dead_letter {
                    self.put_aside(&name, &receipt);
                } else {
                    self.counters.update(|s| s.delivered += 1);
                }
                return Some(receipt);
            }
            Err(error) => error,
        };
        self.counters.update(|s| s.delivery_failures += 1);
        let again = if error.is_retryable() { "it gets it again after a restart" } else { "it is given up" };
        let text = format!("sink {name} did not take {} (rev {}); {again}: {error}", item.item(), item.rev());
        self.notice(text, Some(error.kind()));
        let retryable = error.is_retryable();
        self.state.delivery_error.get_or_insert(error.with_context("sink", &name));
        if !retryable {
            return Some(Receipt { dead_letter: true, ..receipt });
        }
        let limit = self.shared.config.max_backlog;
        let forgotten = self.outgoing.ledger.park(&receipt.item, receipt.rev, &name, limit);
        self.counters.update(|s| s.forgotten += forgotten);
        None
    }

    /// A layer gave the item up for its sink.
    fn put_aside(&mut self, name: &str, receipt: &Receipt) {
        self.counters.update(|s| s.delivery_failures += 1);
        let place = receipt.location.as_deref().unwrap_or("nowhere");
        let text = format!(
            "sink {name} did not take {} (rev {}); it was put aside in {place}",
            receipt.item, receipt.rev
        );
        self.notice(text.clone(), None);
        self.state.delivery_error.get_or_insert_with(|| Error::new(ErrorKind::Io, text));
    }

    /// Takes in a clip's transition.
    pub(super) async fn clip(&mut self, delivery: Option<Delivery>) -> Result<()> {
        let (clip, file) = match delivery {
            Some(Delivery::Clip { clip, file }) => (clip, file),
            // A moment is nothing that a cutter could report.
            Some(Delivery::Moment(_)) => return Ok(()),
            None => {
                self.state.clips_closed = true;
                return Ok(());
            }
        };
        let news = self.outgoing.ledger.clip(&clip, file.as_ref());
        if news.new {
            let item = Arc::new(Delivery::Clip { clip: clip.clone(), file });
            self.counters.update(|s| {
                s.clips += u64::from(news.ready);
                s.clips_failed += u64::from(clip.state == ClipState::Failed);
            });
            if clip.state == ClipState::Failed {
                let (moment, camera) = (&clip.moment, &clip.camera);
                let why = clip.reasons.join("; ");
                self.notice(format!("no clip of moment {moment} on camera {camera}: {why}"), None);
            }
            self.append(vec![Record::Clip(clip)]).await?;
            self.outgoing.item(item);
        }
        self.outgoing.hand_out(news.due);
        self.outgoing.ledger.sweep(&self.outgoing.cameras);
        Ok(())
    }
}
