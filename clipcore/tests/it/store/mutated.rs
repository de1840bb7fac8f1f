//! A short, repeatable version of what the fuzz targets in `fuzz/` do: damaged input gives an answer or an error,
//! never a panic.

use clipcore::conformance::log::marker;
use clipcore::conformance::sink::{clip, moment};
use clipcore::cutter::ClipState;
use clipcore::event::Kinds;
use clipcore::log::file::segment_records;
use clipcore::log::{Arrival, EventLog, FileLog, FileLogConfig, Record};
use clipcore::sink::Delivery;
use clipcore::{StreamId, WallTime};

use super::Random;

const ROUNDS: usize = 5_000;

/// Lines of all kinds that the decoders meet.
fn lines() -> Vec<Vec<u8>> {
    let mut records = vec![marker("a")];
    for delivery in [moment("s", "m", 2), clip("s", "c", ClipState::Failed, None)] {
        records.push(Record::Receipt(delivery.receipt("jsonl")));
        records.push(match delivery {
            Delivery::Moment(m) => Record::Moment(m),
            Delivery::Clip { clip, .. } => Record::Clip(clip),
            other => panic!("{other:?}"),
        });
    }
    let event = Kinds::builtin().parse(br#"{"type":"marker","id":7,"data":{"label":"a"}}"#).unwrap();
    let (stream, now) = (StreamId::new("s").unwrap(), WallTime::from_unix_micros(5));
    records.extend([Arrival::event(&stream, now, event), Arrival::end(&stream, now)].map(Record::Arrival));
    let mut lines: Vec<_> = records.iter().map(|r| r.to_json().unwrap().into_bytes()).collect();
    for short in [
        r#"{"type":"chat.message","stream":"s1","at":12.345,"data":{"user":"ü","text":"\u00e9\ud83d\ude00"}}"#,
        r#"{"type":"clock","subject":"s","at":"-1e3","data":{"wall":"2026-11-23T01:02:03.456Z"}}"#,
        r#"{"type":"x.y","stream":"s","time":"2026-11-23T01:02:03Z","data":[1,{"a":null}]}"#,
    ] {
        lines.push(short.as_bytes().to_vec());
    }
    lines
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const TOKENS: [&[u8]; 10] =
        [b"\n", b"\0", b"\"", b"{", b"[[[[", b"1e999", b"-0", b"null", b"\xff\xfe", b"\\ud800"];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            3 => bytes.extend_from_within(at..),
            _ => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(20)))),
        }
        bytes.truncate(1 << 16);
    }
}

#[test]
fn damaged_lines_give_errors_that_say_something() {
    let (kinds, lines, mut random) = (Kinds::builtin(), lines(), Random(1));
    let mut refused = 0;
    for _ in 0..ROUNDS {
        let mut line = lines[random.below(lines.len())].clone();
        mutate(&mut line, &mut random);
        let event = kinds.parse(&line).and_then(|event| event.resolve(&mut |_| None));
        let record = Record::from_json(&line, &kinds);
        for error in [event.err(), record.as_ref().err().map(|e| clipcore::Error::invalid(e.to_string()))] {
            refused += usize::from(error.is_some());
            assert!(error.is_none_or(|e| e.to_string().len() > 10));
        }
        if let Ok(record) = record {
            // What was taken in can be written and read again.
            let json = record.to_json().unwrap();
            Record::from_json(json.as_bytes(), &kinds).unwrap_or_else(|e| panic!("{json}: {e}"));
        }
    }
    assert!(refused > ROUNDS / 2, "the mutations do too little: {refused} of {} refused", 2 * ROUNDS);
}

#[tokio::test]
async fn a_damaged_segment_never_gives_a_record_that_was_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = FileLog::open(dir.path(), FileLogConfig::default(), Kinds::builtin()).await.unwrap();
    for call in 0..10 {
        let records: Vec<_> = (0..3).map(|i| marker(&(call * 3 + i).to_string())).collect();
        log.append(0, &records).await.unwrap();
    }
    drop(log);
    let whole = std::fs::read(dir.path().join("0/00000000000000000000.log")).unwrap();
    let kinds = Kinds::builtin();
    let mut random = Random(2);
    let (mut corrupt, mut shorter) = (0, 0);
    for _ in 0..ROUNDS {
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut random);
        match segment_records(&bytes, 0, &kinds) {
            Ok(records) => {
                shorter += 1;
                for (i, (offset, record)) in records.iter().enumerate() {
                    assert_eq!(*offset, i as u64);
                    assert!(record.to_json().unwrap().contains(&format!("\"id\":\"{i}\"")));
                }
            }
            Err(e) => {
                corrupt += 1;
                assert_eq!(e.kind(), clipcore::ErrorKind::Corrupt, "{e}");
            }
        }
    }
    assert!(corrupt > 100 && shorter > 100, "{corrupt} damaged, {shorter} cut short");
}
