//! Three brokers, of which one after another dies and comes back while producers send: whatever was acknowledged is in the log,
//! and each moment is found and delivered once.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::server::Server;
use super::broker::{Broker, Kind};
use super::deployment::{Deployment, Process, lines_of, until};
use super::{Told, delivered_once};
use crate::support::brokers::BROKERS;

/// Producers that send at the same time, each to one stream after another.
const PRODUCERS: usize = 4;
/// From one batch's answer to the next batch.
const PAUSE: Duration = Duration::from_millis(50);
/// For whatever takes time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What all producers have been answered.
struct Answers {
    events: usize,
    /// Requests that had to be sent again.
    again: usize,
    last: Instant,
    /// The longest time in which nobody was answered.
    longest: Duration,
}

#[expect(clippy::disallowed_methods, reason = "only to tell how long nobody was answered")]
fn now() -> Instant {
    Instant::now()
}

struct Load<'a> {
    server: &'a Server,
    batches: &'a [String],
    answers: Mutex<Answers>,
    enough: AtomicBool,
}

impl Load<'_> {
    fn acknowledged(&self) -> usize {
        self.answers.lock().unwrap().events
    }

    /// Sends until it is answered with success.
    fn send(&self, method: &str, path: &str, body: &str) {
        for _ in 0..6000 {
            let answer = self.server.try_ask(method, path, body);
            let mut answers = self.answers.lock().unwrap();
            match answer {
                Some((200..=299, said)) => {
                    let read: Value = serde_json::from_str(&said).unwrap_or_default();
                    let taken = read["accepted"].as_u64().unwrap_or_default() as usize;
                    assert!(path.ends_with("/events") == (taken > 0), "{said}");
                    answers.longest = answers.longest.max(answers.last.elapsed());
                    answers.last = now();
                    answers.events += taken;
                    return;
                }
                Some((503 | 504, _)) | None => answers.again += 1,
                Some((status, said)) => panic!("{status} {said}"),
            }
            drop(answers);
            sleep(PAUSE);
        }
        panic!("{path} is not answered: {}", self.server.said());
    }

    /// Sends the same events to one stream after another until it is enough; gives the streams.
    fn produce(&self, producer: usize) -> Vec<String> {
        let mut streams = Vec::new();
        while !self.enough.load(Ordering::SeqCst) {
            let id = format!("p{producer}-{}", streams.len());
            self.send("PUT", &format!("/v1/streams/{id}"), r#"{"clock":"events"}"#);
            for batch in self.batches {
                let batch = batch.replace("\"sim-0\"", &format!("\"{id}\""));
                self.send("POST", &format!("/v1/streams/{id}/events"), &batch);
                sleep(PAUSE);
            }
            self.send("POST", &format!("/v1/streams/{id}/end"), "");
            streams.push(id);
        }
        streams
    }
}

pub(super) fn each_dies_in_turn(test: &str, rounds: usize) {
    let Some(mut broker) = Broker::start(Kind::Brokers, test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Told { events, batches, expected } = Told::new(dir.path());
    let mut all = Deployment::new(dir.path(), &broker);
    let workers = [0, 1].map(|which| all.worker(which, &format!("worker-{which}"), &broker));
    let deliverer = all.deliverer("deliver");

    let answers = Answers { events: 0, again: 0, last: now(), longest: Duration::ZERO };
    let (answers, enough) = (Mutex::new(answers), AtomicBool::new(false));
    let load = Load { server: all.gateway(), batches: &batches, answers, enough };
    let said = || {
        let workers = workers.iter().map(Process::said).collect::<Vec<_>>().join("\n");
        format!("{}\n{workers}\n{}", load.server.said(), deliverer.said())
    };
    load.send("PUT", "/v1/streams/p0-0", r#"{"clock":"events"}"#);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let load = &load;
                scope.spawn(move || load.produce(producer))
            })
            .collect();
        let goes_on = || {
            let before = load.acknowledged();
            until(PATIENCE, said, || load.acknowledged() >= before + 400);
        };
        for which in (0..rounds).flat_map(|_| 0..BROKERS) {
            goes_on();
            broker.brokers().stop(which);
            // The other two are enough.
            goes_on();
            broker.brokers().resume(which);
            broker.brokers().until_in_sync();
        }
        goes_on();
        load.enough.store(true, Ordering::SeqCst);
        producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect()
    });

    let delivered = dir.path().join("deliver/moments.jsonl");
    until(PATIENCE, said, || lines_of(&delivered).lines().count() >= ids.len() * expected.len());
    delivered_once(&lines_of(&delivered), &ids, &expected);
    let answers = load.answers.into_inner().unwrap();
    // Whoever asks now reads the log anew.
    all.kill_gateway();
    let server = all.gateway();
    let (mut lost, mut twice) = (0, 0);
    let sent: HashSet<Value> = events.lines().map(id_of).collect();
    for id in &ids {
        let logged = logged(server, id);
        let once: HashSet<&Value> = logged.iter().collect();
        lost += sent.iter().filter(|event| !once.contains(event)).count();
        twice += logged.len() - once.len();
    }
    println!(
        "{} deaths of {BROKERS} brokers; {} events of {} streams acknowledged, {} requests sent again; lost {lost}, a \
         second time in the log {twice}; {} transitions of moments, each once; nobody was answered for {:.1} s at the longest",
        rounds * BROKERS,
        answers.events,
        ids.len(),
        answers.again,
        ids.len() * expected.len(),
        answers.longest.as_secs_f64(),
    );
    assert_eq!(lost, 0);
    assert_eq!(answers.events, ids.len() * sent.len());
}

fn id_of(event: &str) -> Value {
    serde_json::from_str::<Value>(event).unwrap()["id"].take()
}

/// The ids of the events that the log holds of a stream.
fn logged(server: &Server, stream: &str) -> Vec<Value> {
    let (mut ids, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page =
            server.get(&format!("/v1/streams/{stream}/events?type=chat.message&limit=1000&cursor={cursor}"));
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        ids.extend(items.iter().map(|event| event["id"].clone()));
        let next = page["next"].as_str().unwrap();
        if next == cursor {
            return ids;
        }
        cursor = next.to_owned();
    }
}
