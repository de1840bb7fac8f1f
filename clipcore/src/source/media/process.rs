//! The one ffmpeg that reads an input: started, read by a thread, watched, ended.

use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::input::Input;
use super::standard_input::StandardInput;
use crate::media::ffmpeg::{Ffmpeg, Running};
use crate::{Error, ErrorKind, Result};

/// What an input needs so that MP4 can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Remedy {
    /// Pictures are encoded anew.
    pub(super) video: bool,
    /// Sound is encoded anew.
    pub(super) audio: bool,
    /// The sound is no AAC, so nothing can be done about ADTS headers.
    pub(super) not_aac: bool,
    /// Timestamps go back in the middle, and are to be continued.
    pub(super) joined: bool,
}

/// Blocks of 64 KiB that may wait between the pipe and the demultiplexer.
const WAITING: usize = 64;

pub(super) struct Process {
    running: Running,
    blocks: Receiver<Vec<u8>>,
}

/// What reading gave.
pub(super) enum Block {
    Bytes(Vec<u8>),
    /// Nothing came in time.
    Nothing,
    End,
}

impl Process {
    pub(super) fn start(
        ffmpeg: &Ffmpeg,
        input: &Input,
        stall: Duration,
        remedy: Remedy,
        stdin: Option<&StandardInput>,
    ) -> Result<Self> {
        let mut command = ffmpeg.command();
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        if !remedy.joined {
            command.arg("-copyts");
        }
        command.args(input.args(stall));
        // A capital V leaves cover pictures out; everything is optional, so that sound or pictures alone work.
        command.args(["-map", "0:V:0?", "-map", "0:a:0?", "-dn", "-sn", "-c", "copy"]);
        if remedy.video {
            command.args([
                "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "60", "-pix_fmt", "yuv420p",
            ]);
        }
        if remedy.audio {
            command.args(["-c:a", "aac", "-b:a", "192k"]);
        } else if !remedy.not_aac {
            // MPEG-TS carries AAC with ADTS headers, which ffmpeg does not take off by itself in a live MP4; AAC
            // that has none passes unchanged.
            command.args(["-bsf:a", "aac_adtstoasc"]);
        }
        // `frag_discont` without edit lists makes `tfdt` the publisher's own decode time.
        command
            .args(["-f", "mp4", "-movflags", "delay_moov+default_base_moof+frag_discont+skip_trailer"])
            .args(["-frag_duration", "20000", "-use_editlist", "0", "-avoid_negative_ts", "disabled"])
            .args(["-strict", "-2", "-flush_packets", "1", "pipe:1"])
            .stdout(Stdio::piped());
        let mut running = ffmpeg.spawn(&mut command)?;
        if let (Some(stdin), Some(child)) = (stdin, running.child.stdin.take()) {
            stdin.feed(child)?;
        }
        let mut stdout = running
            .child
            .stdout
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "ffmpeg has no standard output"))?;
        let (tx, blocks) = sync_channel(WAITING);
        std::thread::Builder::new().name("ingest-pipe".into()).spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(n) = stdout.read(&mut bytes) {
                if n == 0 || tx.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { running, blocks })
    }

    pub(super) fn read(&self, patience: Duration) -> Block {
        match self.blocks.recv_timeout(patience) {
            Ok(bytes) => Block::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Block::Nothing,
            Err(RecvTimeoutError::Disconnected) => Block::End,
        }
    }

    /// Whether ffmpeg has begun to bend timestamps, which hides that the publisher started anew.
    pub(super) fn bends_timestamps(&self) -> bool {
        self.running.messages.contain("Non-monotonous DTS")
            || self.running.messages.contain("non monotonically increasing")
    }

    /// Waits for the end and says what it means: `Ok` for an orderly one.
    pub(super) fn end(mut self, input: &Input) -> Result<()> {
        let status = self.running.child.wait()?;
        let said = self.running.last_words();
        if status.success() && !said.contains("Output file is empty") {
            return Ok(());
        }
        let said = input.scrub(&said);
        let (kind, message, hint) = explain(&said);
        let mut error =
            Error::new(kind, message).with_context("ffmpeg said", crate::ids::shorten_to(&said, 400));
        if let Some(hint) = hint {
            error = error.with_hint(hint);
        }
        Err(error)
    }

    /// What the input needs, where that it lacked this is why it ended, and which codec is the cause.
    pub(super) fn remedy(said: &str) -> Option<(Remedy, String)> {
        if said.contains("is not supported by the bitstream filter 'aac_adtstoasc'") {
            return Some((Remedy { not_aac: true, ..Remedy::default() }, String::new()));
        }
        let at = said.find("Could not find tag for codec ")?;
        let rest = &said[at + "Could not find tag for codec ".len()..];
        let codec = rest.split_whitespace().next()?.to_owned();
        // Pictures are mapped first, so stream #0 is sound only where there are none; the codec's name decides.
        let audio = codec.starts_with("pcm_")
            || [
                "vorbis",
                "wmav",
                "adpcm",
                "mp2",
                "dts",
                "truehd",
                "speex",
                "wavpack",
                "ape",
                "nellymoser",
                "amr",
                "tta",
                "cook",
            ]
            .iter()
            .any(|name| codec.starts_with(name));
        Some((Remedy { video: !audio, audio, ..Remedy::default() }, codec))
    }

    pub(super) fn stop(mut self) {
        self.running.terminate();
    }
}

const NOT_MEDIA: &str = "the input is not media that ffmpeg understands";
const NOT_MEDIA_HINT: &str =
    "name a recording (mp4, mkv, ts, flv, …) or a stream; ffprobe tells what a file holds";

/// What ffmpeg's words mean for a person.
fn explain(said: &str) -> (ErrorKind, &'static str, Option<&'static str>) {
    let has = |text: &str| said.contains(text);
    if has("matches no streams") || has("does not contain any stream") || has("Output file is empty") {
        return (
            ErrorKind::Unsupported,
            "the input has neither sound nor pictures that can be read",
            Some(NOT_MEDIA_HINT),
        );
    }
    if has("not in allowed_segment_extensions") || has("not on whitelist 'file") || has("Unsafe file name") {
        let hint = "a playlist in a file may name only media files beside it; give the address of a playlist on a server instead of a copy";
        return (
            ErrorKind::InvalidInput,
            "the file refers to something that it may not make clipcore open",
            Some(hint),
        );
    }
    if has("misdetection possible") {
        return (ErrorKind::InvalidInput, NOT_MEDIA, Some(NOT_MEDIA_HINT));
    }
    if has("moov atom not found") {
        let hint = "the file was cut off before its index was written: repair it, or record as MPEG-TS, MKV or fragmented MP4";
        return (ErrorKind::InvalidInput, "the file is incomplete", Some(hint));
    }
    if has("Invalid data found") || has("could not find codec parameters") || has("End of file") {
        return (ErrorKind::InvalidInput, NOT_MEDIA, Some(NOT_MEDIA_HINT));
    }
    if has("Connection refused")
        || has("Connection timed out")
        || has("Network is unreachable")
        || has("No route to host")
    {
        return (
            ErrorKind::Unavailable,
            "the server does not answer",
            Some("check host and port, and that it is running"),
        );
    }
    if has("404")
        || has("Stream not found")
        || has("No such stream")
        || has("NetStream.Play.StreamNotFound")
        || has("No such file")
    {
        return (ErrorKind::NotFound, "there is no such stream or file", None);
    }
    if has("401") || has("403") || has("Unauthorized") || has("Forbidden") {
        return (
            ErrorKind::InvalidInput,
            "the server refuses access",
            Some("check user name, password or key in the URL"),
        );
    }
    if has("Protocol not found") || has("not on whitelist") {
        let hint = "install an ffmpeg with that protocol (clipcore doctor lists what is missing)";
        return (ErrorKind::Unsupported, "this ffmpeg cannot read that protocol", Some(hint));
    }
    (ErrorKind::Media, "ffmpeg ended with an error", None)
}
