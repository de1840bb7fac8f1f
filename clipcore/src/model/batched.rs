use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Model, Tensors};
use crate::{Error, ErrorKind, Result};

/// Lets requests of many streams go through a model together.
///
/// While a batch runs, further requests wait; they make up the next batch, of at most `limit` items. Nobody waits
/// for a batch to fill: a lone request runs at once. Each calling thread has one request in here, so what waits is
/// bounded by the number of threads. Where a batch of several requests fails, each is tried alone, so that one
/// stream's bad input costs no other an answer.
pub struct Batched {
    model: Arc<dyn Model>,
    limit: usize,
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Ticket>,
    running: bool,
}

struct Ticket {
    items: Vec<Tensors>,
    answer: Arc<Mutex<Option<Result<Vec<Tensors>>>>>,
}

impl fmt::Debug for Batched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("model", &self.model.name()).field("limit", &self.limit).finish()
    }
}

impl Batched {
    /// A layer around a model that runs at most `limit` items at once; 0 counts as 1.
    pub fn new(model: Arc<dyn Model>, limit: usize) -> Self {
        Self { model, limit: limit.max(1), state: Mutex::default(), turn: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what is first in line, together with what fits beside it.
    fn run(&self, mut tickets: Vec<Ticket>) {
        if tickets.len() > 1 {
            let (counts, items): (Vec<usize>, Vec<Vec<Tensors>>) =
                tickets.iter_mut().map(|t| (t.items.len(), std::mem::take(&mut t.items))).unzip();
            let items: Vec<Tensors> = items.into_iter().flatten().collect();
            if let Ok(outputs) = self.infer_guarded(&items) {
                let mut outputs = outputs.into_iter();
                for (ticket, count) in tickets.iter().zip(counts) {
                    ticket.answer(Ok(outputs.by_ref().take(count).collect()));
                }
                return;
            }
            let mut items = items.into_iter();
            for (ticket, count) in tickets.iter_mut().zip(counts) {
                ticket.items = items.by_ref().take(count).collect();
            }
        }
        for ticket in tickets {
            ticket.answer(self.infer_guarded(&ticket.items));
        }
    }

    fn infer_guarded(&self, items: &[Tensors]) -> Result<Vec<Tensors>> {
        let outputs = catch_unwind(AssertUnwindSafe(|| self.model.infer(items))).unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, format!("model {:?} panicked", self.model.name())))
        })?;
        if outputs.len() == items.len() {
            return Ok(outputs);
        }
        let (name, n, m) = (self.model.name(), outputs.len(), items.len());
        Err(Error::new(ErrorKind::Internal, format!("model {name:?} answered {n} outputs to {m} inputs")))
    }
}

impl Ticket {
    fn answer(&self, answer: Result<Vec<Tensors>>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

impl Model for Batched {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let answer = Arc::new(Mutex::new(None));
        let mut state = self.lock();
        state.waiting.push_back(Ticket { items: batch.to_vec(), answer: answer.clone() });
        loop {
            if let Some(done) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return done;
            }
            if state.running {
                state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let mut tickets = Vec::new();
            let mut items = 0;
            while let Some(next) = state.waiting.front() {
                if !tickets.is_empty() && items + next.items.len() > self.limit {
                    break;
                }
                items += next.items.len();
                tickets.extend(state.waiting.pop_front());
            }
            state.running = true;
            drop(state);
            self.run(tickets);
            state = self.lock();
            state.running = false;
            self.turn.notify_all();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::super::Tensor;
    use super::*;

    /// Doubles; fails where a batch holds a negative number; each run waits for a go.
    struct Doubling {
        largest: AtomicUsize,
        started: Sender<usize>,
        go: Mutex<Receiver<()>>,
    }

    impl Model for Doubling {
        fn name(&self) -> &str {
            "doubling"
        }

        fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
            self.largest.fetch_max(batch.len(), Ordering::SeqCst);
            self.started.send(batch.len()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
            let first = |t: &Tensors| t.first().unwrap()[[0]];
            if batch.iter().any(|t| first(t) < 0.0) {
                return Err(Error::invalid("negative"));
            }
            Ok(batch.iter().map(|t| one(2.0 * first(t))).collect())
        }
    }

    fn one(x: f32) -> Tensors {
        Tensor::from_elem(vec![1], x).into()
    }

    /// Asks for 1 alone, then for `others` while that runs; gives the sizes of the runs and each answer.
    fn ask(others: &[f32], limit: usize) -> (Vec<usize>, Vec<Option<f32>>) {
        let (started, seen) = channel();
        let (go, gate) = channel();
        let model = Doubling { largest: AtomicUsize::new(0), started, go: Mutex::new(gate) };
        let batched = Arc::new(Batched::new(Arc::new(model), limit));
        let spawn = |x: f32| {
            let batched = batched.clone();
            std::thread::spawn(move || batched.infer(&[one(x)]).ok().map(|out| out[0].first().unwrap()[[0]]))
        };
        let mut threads = vec![spawn(1.0)];
        let mut sizes = vec![seen.recv().unwrap()];
        for (n, x) in others.iter().enumerate() {
            threads.push(spawn(*x));
            while batched.lock().waiting.len() <= n {
                std::thread::yield_now();
            }
        }
        (0..20).for_each(|_| go.send(()).unwrap());
        let answers = threads.into_iter().map(|t| t.join().unwrap()).collect();
        sizes.extend(seen.try_iter());
        (sizes, answers)
    }

    #[test]
    fn requests_that_come_during_a_run_go_together_and_each_gets_its_own_answer() {
        let (sizes, answers) = ask(&[2.0, 3.0, 4.0, 5.0], 3);
        assert_eq!(sizes, [1, 3, 1]);
        assert_eq!(answers, [Some(2.0), Some(4.0), Some(6.0), Some(8.0), Some(10.0)]);
    }

    #[test]
    fn one_bad_input_costs_no_other_request_its_answer() {
        let (sizes, answers) = ask(&[2.0, -3.0, 4.0], 8);
        assert_eq!(sizes, [1, 3, 1, 1, 1]);
        assert_eq!(answers, [Some(2.0), Some(4.0), None, Some(8.0)]);
    }
}
