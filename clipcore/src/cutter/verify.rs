use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::media::h264::AvcConfig;
use crate::media::mp4::{ProgressiveTrack, ReadSample, read_progressive};
use crate::media::{Track, TrackKind};
use crate::{Error, ErrorKind, Result, hex};

/// What a verified file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Reads a clip back from disk and checks that it is what was meant: tracks, edits, times and sizes as planned, decode
/// times rising, every sample inside the file and, for H.264, made of whole NAL units. An exit code is no evidence.
pub(super) fn verify(path: &Path, meant: &[&ProgressiveTrack]) -> Result<Verified> {
    let bytes = read(path)?;
    let tracks = read_progressive(&bytes)?;
    let wrong = |what: &str| Err(Error::new(ErrorKind::Media, format!("the clip does not verify: {what}")));
    if tracks.len() != meant.len() {
        return wrong("it has another number of tracks");
    }
    for ((track, edit, samples), meant) in tracks.iter().zip(meant) {
        if *edit != meant.edit || samples.len() != meant.samples.len() {
            return wrong("it shows something else");
        }
        for (sample, meant) in samples.iter().zip(&meant.samples) {
            if sample.size != meant.size || sample.pts - sample.dts != meant.offset as u64 {
                return wrong("a sample is not the one that was meant");
            }
        }
        check_media(&bytes, track, samples)?;
    }
    Ok(describe(&bytes))
}

/// Checks a clip that is there already, without a plan to hold it against.
pub(super) fn verify_alone(path: &Path) -> Result<Verified> {
    let bytes = read(path)?;
    let tracks = read_progressive(&bytes)?;
    if tracks.is_empty() {
        return Err(Error::new(ErrorKind::Media, "the clip does not verify: it has no tracks"));
    }
    for (track, _, samples) in &tracks {
        check_media(&bytes, track, samples)?;
    }
    Ok(describe(&bytes))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut f| f.read_to_end(&mut bytes)).map_err(|e| Error::io(e, path))?;
    Ok(bytes)
}

fn describe(bytes: &[u8]) -> Verified {
    Verified { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

fn check_media(bytes: &[u8], track: &Track, samples: &[ReadSample]) -> Result<()> {
    let wrong = |what: &str| Err(Error::new(ErrorKind::Media, format!("the clip does not verify: {what}")));
    if samples.is_empty() {
        return wrong("a track is empty");
    }
    if samples.windows(2).any(|pair| pair[0].dts >= pair[1].dts) {
        return wrong("decode times do not rise");
    }
    if track.kind == TrackKind::Video && !samples[0].sync {
        return wrong("it does not begin where decoding can begin");
    }
    let config = if track.is_h264() { AvcConfig::parse(&track.config).ok() } else { None };
    for sample in samples {
        let place =
            usize::try_from(sample.offset).ok().and_then(|at| bytes.get(at..at + sample.size as usize));
        let Some(data) = place.filter(|d| !d.is_empty()) else {
            return wrong("a sample lies outside of the file");
        };
        if let Some(config) = &config {
            let n = config.length_size;
            let whole: usize = crate::media::h264::nals(data, n).map(|unit| unit.len() + n).sum();
            if whole != data.len() {
                return wrong("a picture is not made of whole NAL units");
            }
        }
    }
    Ok(())
}
