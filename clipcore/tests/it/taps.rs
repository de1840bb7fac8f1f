//! What detectors of sound and pictures are shown: the right frame and the right sound for each instant, nothing missing.

use std::sync::{Arc, Mutex};

use clipcore::CameraId;
use clipcore::Timestamp;
use clipcore::detector::{Detector, DetectorInfo, Output};
use clipcore::event::Stamped;
use clipcore::event::media::{Audio16k, AudioWindow, VideoFrame};
use clipcore::recorder::{Recording, Tail};
use clipcore::source::Item;
use clipcore::source::media::{FollowSource, FrameConfig, Input, MediaConfig, MediaSource, Watch};
use futures::StreamExt;
use serde_json::Value;

use crate::recording::{recorder, run};
use crate::support::programs::{ffmpeg_encodes, require, skipped};
use crate::support::stream::{Audio, TestStream, Video};
use crate::support::{barcode, melody};

type Seen<T> = Arc<Mutex<Vec<(f64, T)>>>;

/// Keeps what it is shown, and says so with a signal.
struct Watcher<E, T> {
    seen: Seen<T>,
    read: fn(&E) -> T,
}

macro_rules! watcher {
    ($event:ty, $seen:ty) => {
        impl Detector for Watcher<$event, $seen> {
            type Input = $event;
            fn info(&self) -> DetectorInfo {
                DetectorInfo::new("watcher", &["seen"])
            }
            fn detect(&mut self, event: &Stamped<$event>, out: &mut Output) {
                let at = event.header.at;
                self.seen.lock().unwrap().push((at.as_secs_f64(), (self.read)(&event.data)));
                out.signal("seen", at, at, 1.0);
            }
            fn advance(&mut self, _: Timestamp, _: &mut Output) {}
            fn reset(&mut self) {}
            fn snapshot(&self) -> clipcore::Result<Value> {
                Ok(Value::Null)
            }
            fn restore(&mut self, _: &Value) -> clipcore::Result<()> {
                Ok(())
            }
        }
    };
}
watcher!(VideoFrame, Option<u32>);
watcher!(AudioWindow, Vec<f32>);
watcher!(Audio16k, Vec<f32>);

fn number(frame: &VideoFrame) -> Option<u32> {
    let green: Vec<u8> = frame.rgb.chunks_exact(3).map(|p| p[1]).collect();
    barcode::read(&green, frame.width as usize, frame.height as usize)
}

async fn watch<E, T>(made: &TestStream, fps: Option<f64>, read: fn(&E) -> T) -> (Vec<(f64, T)>, Vec<Item>)
where
    Watcher<E, T>: Detector,
{
    let dir = tempfile::tempdir().unwrap();
    let file = made.kept("mp4");
    let seen = Seen::default();
    let config = MediaConfig { frames: FrameConfig { width: 320, fps }, ..MediaConfig::default() };
    let source = MediaSource::new(
        Input::parse(file.to_str().unwrap()).unwrap(),
        CameraId::main(),
        recorder(&dir.path().join("rec")),
    )
    .with_config(config)
    .unwrap()
    .with_detector(Box::new(Watcher { seen: seen.clone(), read }))
    .unwrap();
    let items = run(source).await.unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, items)
}

/// Records a stream, then follows the recording: what was shown beside the recorder, and what is shown apart.
async fn both<E, T>(made: &TestStream, read: fn(&E) -> T) -> [Vec<(f64, T)>; 2]
where
    Watcher<E, T>: Detector,
{
    let dir = tempfile::tempdir().unwrap();
    let file = made.kept("mp4");
    let [beside, apart] = [(); 2].map(|()| Seen::default());
    let source = MediaSource::new(
        Input::parse(file.to_str().unwrap()).unwrap(),
        CameraId::main(),
        recorder(&dir.path().join("rec")),
    );
    let source = source.with_detector(Box::new(Watcher { seen: beside.clone(), read })).unwrap();
    run(source).await.unwrap();
    let recording = Recording::open(dir.path().join("rec")).unwrap();
    assert!(recording.stats().segments > 2, "the test needs several files");
    let mut tail = Tail::new(recording, Timestamp::MIN);
    let bytes = futures::stream::iter(std::iter::from_fn(move || tail.read().transpose())).boxed();
    let watch =
        Watch { detectors: vec![Box::new(Watcher { seen: apart.clone(), read })], ..Watch::default() };
    let followed = FollowSource::try_new(bytes, CameraId::main(), watch, MediaConfig::default()).unwrap();
    let items = run(followed).await.unwrap();
    nothing_comes_after_its_time(&items);
    [beside, apart].map(|seen| std::mem::take(&mut *seen.lock().unwrap()))
}

/// Time must not be said to have passed an instant of which something was still to be shown.
fn nothing_comes_after_its_time(items: &[Item]) {
    let mut reached = Timestamp::MIN;
    let mut signals = 0;
    for item in items {
        match item {
            Item::Progress { at, .. } => reached = *at,
            Item::Signal(signal) => {
                signals += 1;
                assert!(signal.at >= reached, "seen at {} after {reached} was reached", signal.at);
            }
            Item::Notice(text) => panic!("{text}"),
            _ => {}
        }
    }
    assert!(signals > 5, "{signals} signals");
}

#[tokio::test]
async fn every_keyframe_is_shown_at_its_instant() {
    if !require("every_keyframe_is_shown_at_its_instant", &["ffmpeg", "ffprobe"]) {
        return;
    }
    for video in [Video::H264, Video::Hevc] {
        if video == Video::Hevc && !ffmpeg_encodes("libx265") {
            skipped("every_keyframe_is_shown_at_its_instant", "this ffmpeg has no libx265");
            continue;
        }
        let made = TestStream { video, pictures: 600, gop: 30, ..TestStream::default() };
        let (frames, items) = watch(&made, None, number).await;
        let numbers: Vec<_> = frames.iter().map(|(_, n)| n.unwrap_or(u32::MAX)).collect();
        assert_eq!(numbers, (0..600).step_by(30).collect::<Vec<u32>>(), "{video:?}");
        for (at, n) in &frames {
            assert!((at - made.time_of(n.unwrap())).abs() < 2e-3, "{video:?}: {n:?} is shown at {at}");
        }
        nothing_comes_after_its_time(&items);
    }
}

#[tokio::test]
async fn two_frames_a_second_are_shown_at_their_instants() {
    if !require("two_frames_a_second_are_shown_at_their_instants", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let made = TestStream { pictures: 600, ..TestStream::default() };
    let (frames, items) = watch(&made, Some(2.0), number).await;
    for (at, n) in &frames {
        let n = n.unwrap_or_else(|| panic!("the frame at {at} is damaged"));
        assert!((at - made.time_of(n)).abs() < 2e-3, "{n} is shown at {at}");
    }
    assert_eq!(frames[0].1, Some(0));
    let steps: Vec<f64> = frames.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(steps.iter().all(|s| (0.49..0.61).contains(s)), "{steps:?}");
    assert!(frames.last().unwrap().0 > 19.3, "{:?}", frames.last());
    nothing_comes_after_its_time(&items);
}

/// How far off the sound is in milliseconds, at quarter seconds spread over it.
fn offsets(windows: &[(f64, Vec<f32>)], rate: usize) -> Vec<f64> {
    let step = rate / melody::RATE;
    let all: Vec<f32> = windows.iter().flat_map(|(_, samples)| samples.iter().copied()).collect();
    let mut starts = vec![0];
    for (_, samples) in windows {
        starts.push(starts[starts.len() - 1] + samples.len());
    }
    [0.1, 0.3, 0.5, 0.7, 0.9]
        .iter()
        .map(|part| {
            let i = (windows.len() as f64 * part) as usize;
            let sound: Vec<f32> =
                all[starts[i]..].iter().copied().step_by(step).take(melody::RATE / 4).collect();
            melody::offset_ms(&sound, windows[i].0, 100)
                .unwrap_or_else(|| panic!("the sound at {} s is not the stream's", windows[i].0))
        })
        .collect()
}

#[tokio::test]
async fn sound_is_heard_at_its_instant() {
    let test = "sound_is_heard_at_its_instant";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    for (audio, encoder) in [(Audio::Aac, "aac"), (Audio::Opus, "libopus"), (Audio::Mp3, "libmp3lame")] {
        if !ffmpeg_encodes(encoder) {
            skipped(test, &format!("this ffmpeg has no {encoder}"));
            continue;
        }
        let made = TestStream { audio, size: (256, 144), pictures: 300, ..TestStream::default() };
        let mono = |w: &AudioWindow| {
            assert_eq!(w.rate, 48_000);
            w.samples.chunks_exact(usize::from(w.channels)).map(|frame| frame[0]).collect::<Vec<f32>>()
        };
        let (windows, items) = watch::<AudioWindow, Vec<f32>>(&made, None, mono).await;
        let off = offsets(&windows, 48_000);
        assert!(off.iter().all(|ms| ms.abs() <= 2.0), "{audio:?}: {off:?} ms");
        let heard: usize = windows.iter().map(|(_, s)| s.len()).sum();
        assert!((heard as f64 / 48_000.0 - 10.0).abs() < 0.1, "{audio:?}: {heard} samples are heard");
        nothing_comes_after_its_time(&items);

        let (windows, items) = watch::<Audio16k, Vec<f32>>(&made, None, |w| w.samples.to_vec()).await;
        let off = offsets(&windows, melody::RATE);
        assert!(off.iter().all(|ms| ms.abs() <= 2.0), "{audio:?} at 16 kHz: {off:?} ms");
        nothing_comes_after_its_time(&items);
    }
}

#[tokio::test]
async fn who_follows_a_recording_is_shown_what_is_shown_beside_the_recorder() {
    if !require("who_follows_a_recording_is_shown_what_is_shown_beside_the_recorder", &["ffmpeg", "ffprobe"])
    {
        return;
    }
    let made = TestStream { size: (320, 180), pictures: 600, gop: 30, ..TestStream::default() };
    let [beside, apart] = both::<AudioWindow, Vec<f32>>(&made, |w| w.samples.to_vec()).await;
    same(&beside, &apart, 400);
    let [beside, apart] = both::<Audio16k, Vec<f32>>(&made, |w| w.samples.to_vec()).await;
    same(&beside, &apart, 400);
    let [beside, apart] = both::<VideoFrame, Option<u32>>(&made, number).await;
    same(&beside, &apart, 10);
}

fn same<T: PartialEq>(beside: &[(f64, T)], apart: &[(f64, T)], least: usize) {
    assert!(beside.len() > least, "{} were shown", beside.len());
    let differs = beside.iter().zip(apart).position(|(a, b)| a != b);
    if let Some(n) = differs {
        panic!(
            "number {n} differs: at {} and {}, of {} and {}",
            beside[n].0,
            apart[n].0,
            beside.len(),
            apart.len()
        );
    }
    assert_eq!(beside.len(), apart.len());
}
