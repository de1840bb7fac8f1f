//! From coded sound to PCM windows with the instants of their packets.

use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration as Ticks, Timestamp as PacketTime};

use super::queue::{BoundedQueue, Popped, Queued};
use crate::event::media::{Audio16k, AudioWindow};
use crate::media::ffmpeg::{Ffmpeg, Running};
use crate::media::mp4::{
    Fragment, FragmentReader, FragmentSample, Read as Found, aac_config, aac_object_type, fragment,
    init_segment,
};
use crate::media::{Sample, Track};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Decodes one track of sound: AAC-LC in this process, everything else by a child ffmpeg of its own (never the one
/// that records).
pub(super) enum PcmDecoder {
    Aac { decoder: Box<dyn AudioDecoder>, buffer: Vec<f32>, errors: u64 },
    Child(ChildDecoder),
}

impl PcmDecoder {
    /// A live input is never waited for.
    pub(super) fn new(ffmpeg: &Ffmpeg, track: &Track, live: bool) -> Result<Self> {
        if &track.fourcc == b"mp4a"
            && aac_object_type(&track.config) == Some(2)
            && let Some(config) = aac_config(&track.config)
        {
            let mut params = AudioCodecParameters::new();
            params.for_codec(CODEC_ID_AAC).with_sample_rate(track.sample_rate).with_extra_data(config.into());
            let decoder =
                symphonia::default::get_codecs().make_audio_decoder(&params, &AudioDecoderOptions::default());
            if let Ok(decoder) = decoder {
                return Ok(Self::Aac { decoder, buffer: Vec::new(), errors: 0 });
            }
        }
        ChildDecoder::new(ffmpeg, track, live).map(Self::Child)
    }

    /// Decodes a packet. The window's instant is the packet's; a packet that does not decode is skipped and counted.
    pub(super) fn decode(&mut self, sample: &Sample, at: Timestamp) -> Result<Vec<(Timestamp, AudioWindow)>> {
        match self {
            Self::Aac { decoder, buffer, errors } => {
                let packet =
                    Packet::new(0, PacketTime::new(0), Ticks::new(u64::from(sample.duration)), &*sample.data);
                match decoder.decode(&packet) {
                    Ok(decoded) => Ok(interleave(&decoded, buffer).map(|w| (at, w)).into_iter().collect()),
                    Err(_) => {
                        *errors += 1;
                        Ok(Vec::new())
                    }
                }
            }
            Self::Child(child) => {
                child.feed(sample)?;
                child.fed = child.fed.max(Some(at));
                child.decoded.get_or_insert(at);
                Ok(child.take())
            }
        }
    }

    /// The instant before which no window will come any more; `None` where that is the end of what was given.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        match self {
            Self::Aac { .. } => None,
            Self::Child(child) => child.reached(),
        }
    }

    /// The input has ended: what is still inside the decoder.
    pub(super) fn finish(&mut self) -> Vec<(Timestamp, AudioWindow)> {
        match self {
            Self::Aac { .. } => Vec::new(),
            Self::Child(child) => child.finish(),
        }
    }

    /// Packets that did not decode.
    pub(super) fn errors(&self) -> u64 {
        match self {
            Self::Aac { errors, .. } => *errors,
            Self::Child(_) => 0,
        }
    }
}

fn interleave(decoded: &GenericAudioBufferRef<'_>, buffer: &mut Vec<f32>) -> Option<AudioWindow> {
    let channels = decoded.num_planes();
    buffer.resize(decoded.samples_interleaved(), 0.0);
    decoded.copy_to_slice_interleaved(&mut buffer[..]);
    if buffer.is_empty() {
        return None;
    }
    let (rate, channels) = (decoded.spec().rate(), u16::try_from(channels).unwrap_or(1));
    Some(AudioWindow { rate, channels, samples: Arc::from(&buffer[..]) })
}

/// A child ffmpeg that turns any codec into PCM. Its windows carry the decoder's own instants, which know about what it
/// leaves out at the start (Opus pre-skip) and about gaps.
pub(super) struct ChildDecoder {
    stdin: Option<ChildStdin>,
    pcm: Arc<BoundedQueue<Pcm>>,
    sequence: u32,
    /// The child's time zero, in ticks of the track: ffmpeg loses what lies before zero.
    base: Arc<OnceLock<i64>>,
    live: bool,
    /// The latest packet's instant, and the end of the latest window.
    fed: Option<Timestamp>,
    decoded: Option<Timestamp>,
    /// It did not answer in time once: it is no longer waited for.
    stuck: bool,
    running: Running,
}

/// How far packets may be ahead of what is decoded: more than any decoder's delay. Beyond it a file waits; a live
/// input's clock goes on without the decoder after [`STUCK_US`].
const AHEAD_US: i64 = 1_000_000;
const STUCK_US: i64 = 3_000_000;
/// How long a file waits for a decoder that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A decoded block and its instant.
struct Pcm(Timestamp, AudioWindow);

impl Queued for Pcm {}

const CHILD_CHANNELS: u16 = 2;
/// Blocks of PCM that may wait; about 20 s.
const PCM_BLOCKS: usize = 1024;

impl ChildDecoder {
    fn new(ffmpeg: &Ffmpeg, track: &Track, live: bool) -> Result<Self> {
        let rate = track.sample_rate.max(8000).to_string();
        let mut command = ffmpeg.command();
        // `-fflags nobuffer` would lose the packets that were looked at to find out what they are.
        command
            .args(["-copyts", "-probesize", "32768", "-analyzeduration", "0", "-f", "mp4", "-i", "pipe:0"])
            .args(["-map", "0:a:0", "-ac", "2", "-ar", &rate, "-c:a", "pcm_f32le"])
            .args(["-f", "mov", "-use_editlist", "0", "-avoid_negative_ts", "disabled"])
            .args(["-movflags", "frag_every_frame+empty_moov+default_base_moof+frag_discont+skip_trailer"])
            .args(["-flush_packets", "1", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = ffmpeg.spawn(&mut command)?;
        let mut stdin = running.child.stdin.take();
        if let Some(stdin) = &mut stdin {
            stdin.write_all(&init_segment(std::slice::from_ref(track)))?;
        }
        let pcm = Arc::new(BoundedQueue::new(PCM_BLOCKS));
        let base = Arc::new(OnceLock::new());
        if let Some(stdout) = running.child.stdout.take() {
            let (pcm, rate) = (pcm.clone(), track.sample_rate.max(8000));
            let (base, track) = (base.clone(), track.clone());
            thread::Builder::new().name("pcm".into()).spawn(move || {
                drain(stdout, &pcm, rate, || track.micros(base.get().copied().unwrap_or(0)));
                pcm.close();
            })?;
        }
        Ok(Self { stdin, pcm, sequence: 0, base, live, fed: None, decoded: None, stuck: false, running })
    }

    fn feed(&mut self, sample: &Sample) -> Result<()> {
        self.sequence += 1;
        let described = FragmentSample {
            size: sample.data.len() as u32,
            duration: sample.duration,
            offset: 0,
            sync: true,
        };
        let dts = sample.dts - *self.base.get_or_init(|| sample.dts);
        let mut bytes = fragment(self.sequence, &[Fragment { track: 0, dts, samples: vec![described] }]);
        bytes.extend_from_slice(&sample.data);
        let stdin =
            self.stdin.as_mut().ok_or_else(|| Error::new(ErrorKind::Media, "the sound decoder has ended"))?;
        stdin.write_all(&bytes).map_err(|e| {
            Error::new(ErrorKind::Media, "the sound decoder has ended")
                .with_source(e)
                .with_context("said", self.running.last_words())
        })
    }

    fn take(&mut self) -> Vec<(Timestamp, AudioWindow)> {
        let mut out = Vec::new();
        loop {
            let wait = !self.live && !self.stuck && self.behind_us() > AHEAD_US;
            match self.pcm.pop(if wait { PATIENCE } else { Duration::ZERO }) {
                Popped::Item(Pcm(at, window)) => {
                    self.decoded = self.decoded.max(Some(window.end(at)));
                    out.push((at, window));
                }
                Popped::Empty | Popped::Closed => {
                    self.stuck |= wait;
                    return out;
                }
            }
        }
    }

    fn behind_us(&self) -> i64 {
        match (self.fed, self.decoded) {
            (Some(fed), Some(decoded)) => fed.micros_since(decoded),
            _ => 0,
        }
    }

    fn reached(&self) -> Option<Timestamp> {
        let stuck = self.stuck || (self.live && self.behind_us() > STUCK_US);
        self.decoded.filter(|_| !stuck)
    }

    fn finish(&mut self) -> Vec<(Timestamp, AudioWindow)> {
        self.stdin = None;
        let mut out = Vec::new();
        while let Popped::Item(Pcm(at, window)) = self.pcm.pop(PATIENCE) {
            out.push((at, window));
        }
        out
    }
}

fn drain(mut stdout: impl Read, pcm: &BoundedQueue<Pcm>, rate: u32, base_us: impl Fn() -> i64) {
    let mut reader = FragmentReader::new();
    let mut scale: Option<Track> = None;
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = stdout.read(&mut bytes) {
        if n == 0 {
            return;
        }
        reader.push(&bytes[..n]);
        loop {
            match reader.next() {
                Ok(Some(Found::Init(tracks))) => scale = tracks.into_iter().next(),
                Ok(Some(Found::Samples(samples))) => {
                    for sample in samples {
                        let Some(track) = &scale else { continue };
                        let at = Timestamp::from_micros(track.micros(sample.pts) + base_us());
                        let floats = sample.data.chunks_exact(4);
                        let samples = floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                        pcm.push_dropping(Pcm(at, AudioWindow { rate, channels: CHILD_CHANNELS, samples }));
                    }
                }
                Ok(Some(Found::Uuid(..))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Resamples to mono at 16 kHz, in blocks of 10 ms, keeping instants.
///
/// What does not fill a block waits for the next window; a hole of more than 20 ms or another rate begins anew.
pub struct To16k {
    rate: u32,
    resampler: Option<Fft<f32>>,
    pending: Vec<f32>,
    /// Instant of `pending`'s first sample, exact across blocks of fractional length: base plus samples counted.
    base: Timestamp,
    taken: u64,
}

/// Rates that sound has. A header can claim millions, whose resampling would take gigabytes.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

impl std::fmt::Debug for To16k {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("To16k").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Default for To16k {
    fn default() -> Self {
        Self { rate: 0, resampler: None, pending: Vec::new(), base: Timestamp::ZERO, taken: 0 }
    }
}

impl To16k {
    /// Takes a window in that starts at `at`; gives the blocks that are complete, each with its first instant.
    ///
    /// # Errors
    /// `Unsupported` where sound of this rate cannot be resampled.
    pub fn push(&mut self, at: Timestamp, window: &AudioWindow) -> Result<Vec<(Timestamp, Audio16k)>> {
        let expected = self.instant(self.pending.len() as u64);
        let gap = at.micros_since(expected).abs() > 20_000;
        if !RATES.contains(&window.rate) {
            return Err(Error::new(ErrorKind::Unsupported, "sound of this rate cannot be resampled")
                .with_context("rate", window.rate));
        }
        if window.rate != self.rate || gap {
            self.rate = window.rate;
            self.pending.clear();
            (self.base, self.taken) = (at, 0);
            self.resampler = if window.rate == Audio16k::RATE {
                None
            } else {
                let chunk = (window.rate / 100).max(1) as usize;
                let built =
                    Fft::new(window.rate as usize, Audio16k::RATE as usize, chunk, 1, FixedSync::Both);
                Some(built.map_err(|e| {
                    Error::new(ErrorKind::Unsupported, "sound of this rate cannot be resampled")
                        .with_context("rate", window.rate)
                        .with_source(e)
                })?)
            };
        }
        let channels = usize::from(window.channels.max(1));
        self.pending.extend(
            window.samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32),
        );
        let mut out = Vec::new();
        let mut used = 0;
        loop {
            let chunk =
                self.resampler.as_ref().map_or((self.rate / 100) as usize, Resampler::input_frames_next);
            if chunk == 0 || self.pending.len() - used < chunk {
                break;
            }
            let block = &self.pending[used..used + chunk];
            let at = self.instant(used as u64);
            out.push(match &mut self.resampler {
                None => (at, Audio16k { samples: block.into() }),
                Some(resampler) => {
                    let bug = |e: String| {
                        Error::new(ErrorKind::Internal, "resampling failed").with_context("said", e)
                    };
                    let input = InterleavedSlice::new(block, 1, chunk).map_err(|e| bug(e.to_string()))?;
                    let resampled = resampler.process(&input, None).map_err(|e| bug(e.to_string()))?;
                    let delay = delay_us(resampler);
                    (at.offset_micros(-delay), Audio16k { samples: resampled.take_data().into() })
                }
            });
            used += chunk;
        }
        self.pending.drain(..used);
        self.taken += used as u64;
        Ok(out)
    }

    /// The instant of the next block; `None` before the first window.
    pub(in crate::source) fn next(&self) -> Option<Timestamp> {
        (self.rate > 0).then(|| self.instant(0).offset_micros(-self.resampler.as_ref().map_or(0, delay_us)))
    }

    fn instant(&self, ahead: u64) -> Timestamp {
        let samples = i128::from(self.taken + ahead);
        self.base.offset_micros((samples * 1_000_000 / i128::from(self.rate.max(1))) as i64)
    }
}

/// How much later than its input a resampler's output lies.
fn delay_us(resampler: &Fft<f32>) -> i64 {
    resampler.output_delay() as i64 * 1_000_000 / i64::from(Audio16k::RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_of_any_real_rate_comes_at_16_khz_and_absurd_rates_are_refused() {
        let window = |rate: u32| AudioWindow { rate, channels: 1, samples: vec![0.0; 100_000].into() };
        for rate in [7_350, 8_000, 11_025, 16_000, 44_100, 44_101, 96_000, 192_000] {
            let blocks = To16k::default().push(Timestamp::ZERO, &window(rate)).unwrap();
            let samples: usize = blocks.iter().map(|(_, block)| block.samples.len()).sum();
            let all = 100_000.0 * 16_000.0 / f64::from(rate);
            assert!((all - 16_000.0..=all).contains(&(samples as f64)), "{rate}: {samples}");
        }
        for rate in [0, 1, 99, 16_777_213, u32::MAX] {
            let mut to_16k = To16k::default();
            for _ in 0..2 {
                let error = to_16k.push(Timestamp::ZERO, &window(rate)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
        }
    }
}
