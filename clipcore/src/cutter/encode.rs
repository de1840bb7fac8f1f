use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::thread;

use bytes::Bytes;

use super::plan::Encode;
use crate::media::Track;
use crate::media::ffmpeg::Ffmpeg;
use crate::media::h264::{self, AvcConfig, nal};
use crate::media::mp4::{Fragment, FragmentSample, fragment, init_segment};
use crate::recorder::{IndexedSample, Slice};
use crate::{Error, ErrorKind, Result};

/// Pictures that were encoded anew, one access unit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    /// Access units with length prefixes as the joined track has them.
    pub(super) units: Vec<Bytes>,
    /// The encoder's parameter sets.
    pub(super) sps: Bytes,
    pub(super) pps: Bytes,
}

/// Quality of the pictures encoded anew: x264's constant rate factor, 0 lossless to 51 worst.
const CRF: &str = "20";

/// Encodes the pictures of `what`. Where `join` is given, the result can stand before samples of that track: its
/// parameter sets get ids of their own, and its profile is the track's.
pub(super) fn encode(
    ffmpeg: &Ffmpeg,
    slice: &Slice,
    files: &Files,
    video: usize,
    what: &Encode,
    join: Option<&AvcConfig>,
) -> Result<Encoded> {
    let track = &slice.tracks[video];
    let samples = &slice.samples[video][what.decode.clone()];
    let input = remux(track, samples, files)?;
    let id = join.map_or(Ok(0), unused_id)?;
    let profile = match join.map(|j| j.profile_level[0]) {
        Some(66) => "baseline",
        Some(77) => "main",
        _ => "high",
    };
    // Pictures are picked by their presentation times: a decoder may drop what comes before the first it can show.
    let base = samples.first().map_or(0, |s| s.row.dts);
    let (first, last) = (what.pts[0] - base, what.pts[what.pts.len() - 1] - base);
    // One GOP for a joined head; a whole clip gets one every two seconds or so, to be seekable.
    let gop = if join.is_some() { "600" } else { "60" };
    let mut command = ffmpeg.command();
    command
        .args(["-copyts", "-f", "mp4", "-i", "pipe:0", "-map", "0:v:0", "-an", "-fps_mode", "passthrough"])
        .arg("-vf")
        .arg(format!("select=between(pts\\,{first}\\,{last})"))
        .args(["-c:v", "libx264", "-preset", "superfast", "-crf", CRF, "-bf", "0", "-g", gop])
        .args(["-profile:v", profile, "-pix_fmt", "yuv420p", "-x264-params"])
        .arg(format!("sps-id={id}:scenecut=0:repeat-headers=1:aud=1"))
        .args(["-f", "h264", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ffmpeg.spawn(&mut command)?;
    let feeder = child.child.stdin.take().map(|mut stdin| {
        // A child that stops reading early closes the pipe; what it made says whether that was right.
        thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let mut stream = Vec::new();
    if let Some(mut stdout) = child.child.stdout.take() {
        stdout.read_to_end(&mut stream)?;
    }
    let status = child.child.wait()?;
    if let Some(feeder) = feeder {
        let _ = feeder.join();
    }
    let encoded = split(&stream, join.map_or(4, |j| j.length_size));
    match encoded {
        Ok(encoded) if encoded.units.len() == what.pts.len() => Ok(encoded),
        other => {
            let made = other.as_ref().map_or(0, |e| e.units.len());
            Err(Error::new(
                ErrorKind::Media,
                format!("{made} of {} pictures could be encoded", what.pts.len()),
            )
            .with_context("ffmpeg", status)
            .with_context("said", child.last_words())
            .with_operation("cutter::encode"))
        }
    }
}

/// The recorded files of a slice, open.
#[derive(Debug)]
pub(super) struct Files(Vec<File>);

impl Files {
    pub(super) fn open(slice: &Slice) -> Result<Self> {
        slice
            .files
            .iter()
            .map(|path| File::open(path).map_err(|e| Error::io(e, path)))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Appends a sample's bytes to `out`.
    pub(super) fn read(&self, sample: &IndexedSample, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        out.resize(from + sample.row.size as usize, 0);
        self.read_at(sample.file, sample.row.offset, &mut out[from..])
    }

    /// Fills `out` from an offset of a file.
    pub(super) fn read_at(&self, file: usize, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0[file].read_exact_at(out, offset).map_err(Error::from)
    }
}

/// The samples as a fragmented file that ffmpeg can decode, whatever the codec.
fn remux(track: &Track, samples: &[IndexedSample], files: &Files) -> Result<Vec<u8>> {
    let base = samples.first().map_or(0, |s| s.row.dts);
    let described = samples
        .iter()
        .enumerate()
        .map(|(i, s)| FragmentSample {
            size: s.row.size,
            duration: samples.get(i + 1).map_or(s.row.duration, |n| (n.row.dts - s.row.dts) as u32),
            offset: (s.row.pts - s.row.dts) as i32,
            sync: s.row.sync,
        })
        .collect();
    let first = samples.first().map_or(0, |s| s.row.dts);
    let mut out = init_segment(std::slice::from_ref(track));
    out.extend(fragment(1, &[Fragment { track: 0, dts: first - base, samples: described }]));
    for sample in samples {
        files.read(sample, &mut out)?;
    }
    Ok(out)
}

/// A parameter set id that the recorded track does not use. x264 gives its picture set the same id.
fn unused_id(config: &AvcConfig) -> Result<u32> {
    let mut used = Vec::new();
    for set in &config.sps {
        used.push(h264::Sps::parse(set)?.id);
    }
    for set in &config.pps {
        used.push(h264::pps_id(set)?);
    }
    (1..32)
        .find(|id| !used.contains(id))
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "all parameter set ids are in use"))
}

/// Splits the encoder's byte stream at its access unit delimiters.
fn split(stream: &[u8], length_size: usize) -> Result<Encoded> {
    let (mut sps, mut pps) = (None, None);
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in h264::annex_b(stream) {
        match h264::nal_type(unit) {
            nal::AUD => units.push(Vec::new()),
            nal::SPS => sps = sps.or(Some(Bytes::copy_from_slice(unit))),
            nal::PPS => pps = pps.or(Some(Bytes::copy_from_slice(unit))),
            // Slices; the rest (the encoder's signature) says nothing about pictures.
            1..=5 => {
                let Some(access) = units.last_mut() else { continue };
                access.extend_from_slice(&(unit.len() as u32).to_be_bytes()[4 - length_size..]);
                access.extend_from_slice(unit);
            }
            _ => {}
        }
    }
    let (Some(sps), Some(pps)) = (sps, pps) else {
        return Err(Error::new(ErrorKind::Media, "the encoder gave no parameter sets"));
    };
    Ok(Encoded { units: units.into_iter().filter(|u| !u.is_empty()).map(Bytes::from).collect(), sps, pps })
}
