use std::sync::{Arc, Mutex};
use std::time::Duration;

use clipcore::clock::ManualTimeSource;
use clipcore::cutter::ClipState;
use clipcore::event::{Clock, Kinds};
use clipcore::log::{EventLog, MemoryLog, Record};
use clipcore::pipeline::{PipelineConfig, StreamSpec};
use clipcore::sink::Delivery;
use clipcore::source::{Item, JsonlSource, Schedule};
use clipcore::{CameraId, Consent, ErrorKind, WallTime};
use tokio::sync::Semaphore;

use super::stage::*;
use super::support::*;

#[tokio::test]
async fn a_stream_runs_to_its_end_and_replays_byte_for_byte() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(4));
    let s = stream("show");
    let (sink, scissors) = (Probe::new("probe"), Arc::new(Scissors::new(false)));
    let last = Arc::new(Mutex::new(None));
    let seen = last.clone();
    let pipeline = builder(log.clone())
        .with_stream(
            StreamSpec::new(s.clone())
                .with_source(Script::new(show(&s), End::Input))
                .with_cutter(scissors.clone()),
        )
        .with_sink(Arc::new(sink.clone()))
        .on_progress(move |p| *seen.lock().unwrap() = Some(p.clock))
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    assert!(summary.stream_error().is_none() && summary.sink_error().is_none(), "{summary:?}");
    let stats = &summary.streams[0].stats;
    assert!(summary.streams[0].ended);
    // Bursts at 6, 21 and 31 s (the loud instant at 31.1 s joins the last), and a loud one at 13.1 s.
    assert_eq!((stats.moments, stats.clips, stats.signals, stats.late), (4, 4, 2, 0), "{stats:?}");
    assert_eq!(*last.lock().unwrap(), Some(secs(40.0)));
    assert!(*scissors.watermark.lock().unwrap() >= Some(secs(38.0)), "media before it may be let go");

    let live = logged_moments(&*log, &s).await;
    assert_eq!(live.len(), 8, "each opens and closes");
    assert_eq!(live, replayed_moments(&*log, &s).await);
    // Every transition of moments and clips, once, and the clip of a moment after the moment.
    assert_eq!(sink.inner.moments().len(), 8);
    assert_eq!(sink.inner.deliveries().len(), 8 + 2 * 4);
    for (i, delivery) in sink.inner.deliveries().iter().enumerate() {
        if let Delivery::Clip { clip, .. } = delivery {
            let before = &sink.inner.deliveries()[..i];
            assert!(before.iter().any(|d| *d.item() == clip.moment), "clip before its moment");
            let pending = before.iter().any(|d| *d.item() == clip.id);
            assert_eq!(pending, clip.state == ClipState::Ready);
        }
    }
}

#[tokio::test]
async fn scheduled_events_come_in_before_the_clock_and_runs_are_reproducible() {
    let s = stream("file");
    let mut text = String::new();
    for n in (0..400).rev() {
        let at = f64::from(n) * 0.09 + if n > 100 { 0.0 } else { 0.013 };
        text += &format!(
            "{{\"type\":\"chat.message\",\"id\":\"{n}\",\"at\":{at},\"data\":{{\"user\":\"u\"}}}}\n"
        );
    }
    text += "nonsense\n{\"type\":\"clock\",\"at\":1,\"data\":{\"end\":true}}\n";
    let mut logs = Vec::new();
    for step in [0.5, 0.125, 7.0] {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
        let schedule = Schedule::read(text.as_bytes(), &s, &Kinds::builtin()).unwrap();
        assert_eq!((schedule.events().len(), schedule.bad_count()), (400, 1));
        let items = (1..=(30.0 / step) as usize).map(|i| progress(i as f64 * step)).collect();
        let spec =
            StreamSpec::new(s.clone()).with_source(Script::new(items, End::Input)).with_schedule(schedule);
        builder(log.clone()).with_stream(spec).build().unwrap().run().await.unwrap();
        let mut clock = secs(-1.0);
        let mut events = 0;
        for record in records(&*log, &s).await {
            let Record::Event(event) = record else { continue };
            if let Some(c) = event.payload::<Clock>() {
                assert!(event.at() > clock || c.end);
                assert_eq!(event.at().as_micros() % 500_000, 0, "clock records lie on the grid");
                clock = event.at();
            } else {
                assert!(event.at() > clock, "let in after the clock had passed it");
                events += 1;
            }
        }
        assert_eq!(events, 400, "those after the media's end are let in too");
        logs.push((logged_moments(&*log, &s).await, records(&*log, &s).await));
    }
    assert!(!logs[0].0.is_empty());
    let (moments, first) = &logs[0];
    let causes = |records: &[Record]| -> Vec<String> {
        records.iter().filter(|r| matches!(r, Record::Event(_))).map(|r| r.to_json().unwrap()).collect()
    };
    for (other, records) in &logs[1..] {
        assert_eq!(moments, other, "moments depend on the steps of the media");
        assert!(causes(first) == causes(records), "runs over the same files differ");
    }
}

#[tokio::test]
async fn a_schedule_alone_is_a_stream() {
    let s = stream("replayed");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let events: Vec<_> = show(&s)
        .into_iter()
        .filter_map(|item| if let Item::Event(e) = item { Some(e) } else { None })
        .collect();
    let spec = StreamSpec::new(s.clone()).with_schedule(events.clone());
    let summary = builder(log.clone()).with_stream(spec).build().unwrap().run().await.unwrap();
    assert!(summary.streams[0].ended);
    assert_eq!(summary.streams[0].stats.moments, 3);
    let mut engine = engine(&s);
    for event in events {
        engine.advance(event.at());
        engine.event(event);
    }
    engine.finish();
    let lines: Vec<String> =
        engine.take_moments().iter().map(|m| serde_json::to_string(m).unwrap()).collect();
    assert_eq!(lines, logged_moments(&*log, &s).await, "a bare file gives the same");
}

#[tokio::test]
async fn arrival_order_within_the_lateness_does_not_matter() {
    let s = stream("shuffled");
    let mut expected = None;
    for seed in 0..12 {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
        let mut items = if seed == 0 { show(&s) } else { shuffled(&s, seed, 0) };
        items.push(Item::Event(chat(&s, 6.2, 9999)));
        let spec = StreamSpec::new(s.clone()).with_source(Script::new(items, End::Input));
        let summary = builder(log.clone()).with_stream(spec).build().unwrap().run().await.unwrap();
        assert_eq!(summary.streams[0].stats.late, 1, "seed {seed}");
        let late = records(&*log, &s).await.iter().filter(|r| matches!(r, Record::Late(_))).count();
        assert_eq!(late, 1);
        let moments = logged_moments(&*log, &s).await;
        assert_eq!(moments, replayed_moments(&*log, &s).await, "seed {seed}");
        assert_eq!(&moments, expected.get_or_insert(moments.clone()), "seed {seed}");
    }
}

#[tokio::test]
async fn a_slow_sink_holds_up_nobody_else() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let gate = Arc::new(Semaphore::new(0));
    let (fast, slow) = (Probe::new("fast"), Probe::new("slow").slow(&gate));
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input)))
        .with_sink(Arc::new(slow.clone()))
        .with_sink(Arc::new(fast.clone()))
        .with_config(PipelineConfig { sink_queue: 1, ..config() })
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while fast.items().len() < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(slow.items().is_empty());
    assert!(handle.stats().streams[&s].sink_waits > 0);
    gate.add_permits(1000);
    run.await.unwrap().unwrap();
    assert_eq!(slow.items(), fast.items(), "both get everything, in the same order");
}

#[tokio::test]
async fn a_stuck_sink_makes_sources_wait_instead_of_filling_memory() {
    let s = stream("s");
    let gate = Arc::new(Semaphore::new(0));
    let slow = Probe::new("slow").slow(&gate);
    let items: Vec<Item> =
        (0..1_000).flat_map(|i| [loud(&s, f64::from(i) * 6.0, 1.0), progress(f64::from(i) * 6.0)]).collect();
    let total = items.len();
    let script = Script::new(items, End::Input);
    let sent = script.sent.clone();
    let pipeline = builder(Arc::new(MemoryLog::new(1)))
        .with_stream(StreamSpec::new(s.clone()).with_source(script))
        .with_sink(Arc::new(slow.clone()))
        .with_config(PipelineConfig { sink_queue: 1, max_backlog: 50, queue: 16, batch: 16, ..config() })
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while handle.stats().streams[&s].backlog_pauses == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The stream stands still now: whatever is taken in later would show here.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let taken = *sent.lock().unwrap();
    assert!(taken < 300, "{taken} of {total} items were taken in although nobody takes them out");
    gate.add_permits(1_000_000);
    let summary = run.await.unwrap().unwrap();
    assert_eq!(*sent.lock().unwrap(), total);
    assert!(summary.streams[0].stats.source_waits > 0);
    assert_eq!(slow.items().len() as u64, 2 * summary.streams[0].stats.moments);
}

#[tokio::test]
async fn bad_input_is_counted_reported_and_survived() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let mut lines = String::new();
    for n in 0..30 {
        lines += "{\"type\":\"marker\"}\n";
        lines += &format!(
            "{{\"type\":\"chat.message\",\"id\":\"{n}\",\"at\":5.5,\"data\":{{\"user\":\"u{n}\"}}}}\n"
        );
    }
    lines += "{\"type\":\"clock\",\"at\":1e6,\"data\":{\"end\":true}}\n{\"type\":\"marker\",\"at\":9e8,\"data\":{}}";
    let mut items = show(&s);
    items.insert(3, Item::Event(chat(&stream("other"), 1.0, 1)));
    items.insert(3, loud(&s, 1.0, f64::NAN));
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = notices.clone();
    let pipeline = builder(log.clone())
        .with_stream(
            StreamSpec::new(s.clone())
                .with_source(Script::new(items, End::Input))
                .with_source(JsonlSource::new("chat.jsonl", std::io::Cursor::new(lines), Kinds::builtin())),
        )
        .on_notice(move |n| told.lock().unwrap().push(n.to_string()))
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    let stats = &summary.streams[0].stats;
    assert!(summary.stream_error().is_none());
    assert_eq!(stats.bad, 34, "{stats:?}");
    assert_eq!(stats.moments, 4);
    let notices = notices.lock().unwrap();
    assert!(notices.len() < 12, "{} notices for a flood of bad lines", notices.len());
    let line_1 = notices.iter().any(|n| n.contains("chat.jsonl") && n.contains("line: 1"));
    assert!(line_1, "{notices:?}");
}

#[tokio::test]
async fn a_stream_without_media_gets_a_clock_record_each_second() {
    let s = stream("chat-only");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let start = WallTime::parse("2026-11-23T01:00:00Z").unwrap();
    let time = Arc::new(ManualTimeSource::new(start));
    let items = (0..4)
        .map(|n| {
            let line = format!(
                r#"{{"type":"chat.message","id":"{n}","time":"2026-11-23T01:00:02.{n}00Z","data":{{"user":"u"}}}}"#
            );
            Item::Incoming(Kinds::builtin().parse(line.as_bytes()).unwrap())
        })
        .collect();
    let script = Script::new(items, End::Stop).without_clock();
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(script))
        .with_time_source(time.clone())
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while handle.stats().streams[&s].clock.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while handle.stats().streams[&s].moments == 0 {
        time.advance(Duration::from_millis(300));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    handle.stop();
    let summary = run.await.unwrap().unwrap();
    assert!(!summary.streams[0].ended);
    for record in records(&*log, &s).await {
        let Record::Event(event) = record else { continue };
        match event.payload::<Clock>() {
            Some(clock) => {
                assert_eq!(event.at().as_micros() % 1_000_000, 0);
                assert_eq!(clock.wall, Some(start.offset_micros(event.at().as_micros())));
            }
            None => assert!((2.0..2.5).contains(&event.at().as_secs_f64()), "{}", event.at()),
        }
    }
    let moments = logged_moments(&*log, &s).await;
    assert!(moments[0].contains("\"start_time\":\"2026-11-23T01:00:03.000Z\""), "{}", moments[0]);
    assert_eq!(moments, replayed_moments(&*log, &s).await);
}

#[tokio::test]
async fn two_cameras_share_one_clock() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let camera = |name: &str, from: usize, to: usize| -> Vec<Item> {
        let camera = CameraId::new(name).unwrap();
        let step = |i| Item::Progress { camera: camera.clone(), at: secs(i as f64 / 2.0), wall: None };
        (from..=to).map(step).collect()
    };
    let mut b = camera("b", 1, 200);
    b.insert(0, loud(&s, 0.25, 1.0));
    let (a, b) = (Script::new(camera("a", 1, 240), End::Input), Script::new(b, End::Input));
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(a).with_source(b))
        .with_config(PipelineConfig { queue: 4, ..config() })
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    let stats = &summary.streams[0].stats;
    assert_eq!((stats.late, stats.moments), (0, 1), "the slower camera's signal was not too late");
    assert_eq!(stats.clock, Some(secs(120.0)), "the longer camera runs to its end");
}

#[tokio::test]
async fn a_camera_that_is_held_back_can_still_be_stopped() {
    let s = stream("s");
    let (a, mut b) = (Script::new(Vec::new(), End::Input), Script::new(Vec::new(), End::Stop));
    let camera = CameraId::new("a").unwrap();
    let step = |i: i32| Item::Progress { camera: camera.clone(), at: secs(f64::from(i)), wall: None };
    let a = Script { items: (0..500).map(step).collect(), ..a };
    b.items = vec![progress(1.0)];
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = notices.clone();
    let pipeline = builder(Arc::new(MemoryLog::new(1)))
        .with_stream(StreamSpec::new(s.clone()).with_source(a).with_source(b))
        .with_config(PipelineConfig { queue: 2, ..config() })
        .on_notice(move |n| told.lock().unwrap().push(n.to_string()))
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while handle.stats().streams[&s].source_waits == 0 || handle.stats().streams[&s].clock.is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    handle.stop();
    let summary = run.await.unwrap().unwrap();
    assert!(summary.stream_error().is_none());
    assert_eq!(*notices.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_fit_is_said_before_anything_starts() {
    let log = || -> Arc<dyn EventLog> { Arc::new(MemoryLog::new(1)) };
    let build = |b: clipcore::pipeline::PipelineBuilder| b.build().unwrap_err().to_string();
    let spec = || StreamSpec::new(stream("s"));
    assert!(build(clipcore::pipeline::Pipeline::builder()).contains("no log"));
    assert!(build(clipcore::pipeline::Pipeline::builder().with_log(log())).contains("no fusion"));
    assert!(
        build(builder(log()).with_stream(spec()).with_stream(spec())).contains("two streams named \"s\"")
    );
    let twice = builder(log()).with_sink(Arc::new(Probe::new("p"))).with_sink(Arc::new(Probe::new("p")));
    assert!(build(twice).contains("two sinks named \"p\""));
    let cameras =
        spec().with_cutter(Arc::new(Scissors::new(false))).with_cutter(Arc::new(Scissors::new(false)));
    assert!(build(builder(log()).with_stream(cameras)).contains("two cameras named \"main\" "));
    let detectors = spec().with_detector(|_| Ok(Box::new(Burst::default())));
    assert!(build(builder(log()).with_stream(detectors)).contains("two detectors named \"burst\""));
    let nosy = || spec().with_detector(|_| Ok(Box::new(super::faults::Nosy)));
    let refused = builder(log()).with_stream(nosy()).build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConsentRequired);
    let consent = Consent { chat_text: true, face: false };
    assert!(builder(log()).with_stream(nosy()).with_consent(consent).build().is_ok());
    let config = PipelineConfig { max_backlog: 0, ..config() };
    assert!(build(builder(log()).with_config(config)).contains("pipeline.max_backlog is 0"));
}
