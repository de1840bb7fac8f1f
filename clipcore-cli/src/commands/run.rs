//! `clipcore run`: inputs in, clips out.

mod pipeline;

use std::path::PathBuf;

use clap::Args;
use clipcore::{CameraId, Consent, Error, Result, StreamId};
pub(crate) use pipeline::run_streams;

use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;
use crate::{inputs, output};

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore run gala.mp4 --chat gala.chat.jsonl      a file, with its chat
  clipcore run rtmp://localhost/live/key            a live stream from a relay
  clipcore run rtmp://…/front rtmp://…/side --stream show   two cameras of one stream
  curl -s https://…/stream.ts | clipcore run -      standard input

In DIR (clipcore-out unless --out says otherwise): clips/*.mp4, moments.jsonl, clips.jsonl, log/.
Started again on the same DIR after a crash, it finishes what was pending, and nothing twice.")]
pub struct RunArgs {
    /// A file, an HLS playlist (http://, https://), rtmp://, srt://, rtsp://, or - for standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    /// The stream's id; with several INPUTs they are its cameras
    #[arg(long, value_name = "ID", value_parser = inputs::stream_id)]
    pub stream: Option<StreamId>,
    /// Chat and other events as JSON lines, merged in by their times
    #[arg(long, value_name = "FILE")]
    pub chat: Option<PathBuf>,
    /// Where clips, moments and the log go
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
    /// Prints the settings that would be used, as TOML, and ends
    #[arg(long)]
    pub print_config: bool,
}

/// One stream and its cameras.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPlan {
    /// The stream.
    pub stream: StreamId,
    /// Its cameras and their inputs, as typed.
    pub cameras: Vec<(CameraId, String)>,
}

impl RunArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> Result<Config> {
        global.config(&Overrides {
            stream: self.stream.clone(),
            out: self.out.clone(),
            consent: self.consent,
            ..Overrides::default()
        })
    }

    /// Which streams with which cameras are to be run.
    ///
    /// # Errors
    /// `Config` where standard input is named twice, two inputs would be the same stream, or one chat file would
    /// belong to several streams.
    pub fn streams(&self, config: &Config) -> Result<Vec<StreamPlan>> {
        if self.inputs.iter().filter(|i| *i == "-").count() > 1 {
            return Err(Error::config("standard input (-) is named more than once"));
        }
        if let Some(stream) = &config.stream {
            let cameras = inputs::camera_ids(self.inputs.len());
            let cameras = cameras.into_iter().zip(self.inputs.iter().cloned()).collect();
            return Ok(vec![StreamPlan { stream: stream.clone(), cameras }]);
        }
        let mut plans: Vec<StreamPlan> = Vec::new();
        for input in &self.inputs {
            let stream = inputs::stream_id_of(input);
            if plans.iter().any(|p| p.stream == stream) {
                return Err(Error::config(format!("two inputs would both be the stream {stream:?}", stream = stream.as_str()))
                    .with_hint("with --stream ID they are cameras of one stream; for separate streams run clipcore once each"));
            }
            plans.push(StreamPlan { stream, cameras: vec![(CameraId::main(), input.clone())] });
        }
        if self.chat.is_some() && plans.len() > 1 {
            return Err(Error::config("--chat cannot be shared by several streams").with_hint(
                "with --stream ID the inputs are cameras of one stream; else run clipcore once each",
            ));
        }
        Ok(plans)
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever the configuration, an input or a sink meets.
pub fn run(args: &RunArgs, global: &Global) -> anyhow::Result<Exit> {
    let config = args.config(global)?;
    if args.print_config {
        output::text(&config.to_toml()?)?;
        return Ok(Exit::Done);
    }
    let plans = args.streams(&config)?;
    let outcome = run_streams(&config, &plans, args.chat.as_deref(), global.quiet)?;
    outcome.exit(global.quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(inputs: &[&str], stream: Option<&str>, chat: bool) -> Result<Vec<StreamPlan>> {
        let args = RunArgs {
            inputs: inputs.iter().map(|&i| i.to_owned()).collect(),
            stream: None,
            chat: chat.then(|| "chat.jsonl".into()),
            out: None,
            consent: None,
            print_config: false,
        };
        let stream = stream.map(|s| StreamId::new(s).unwrap());
        args.streams(&Config { stream, ..Config::default() })
    }

    #[test]
    fn several_inputs_are_cameras_with_a_stream_and_streams_without() {
        let cameras = args(&["a.mp4", "b.mp4"], Some("show"), true).unwrap();
        assert_eq!(cameras.len(), 1);
        let names: Vec<_> = cameras[0].cameras.iter().map(|(c, i)| (c.as_str(), i.as_str())).collect();
        assert_eq!(names, [("cam1", "a.mp4"), ("cam2", "b.mp4")]);

        let streams = args(&["a.mp4", "b.mp4"], None, false).unwrap();
        let names: Vec<_> = streams.iter().map(|p| (p.stream.as_str(), p.cameras[0].0.as_str())).collect();
        assert_eq!(names, [("a", "main"), ("b", "main")]);
    }

    #[test]
    fn contradictions_are_refused() {
        for (inputs, chat, says) in [
            (&["-", "-"][..], false, "more than once"),
            (&["x/a.mp4", "y/a.mkv"], false, "both be the stream \"a\""),
            (&["a.mp4", "b.mp4"], true, "--chat cannot be shared"),
        ] {
            let err = args(inputs, None, chat).unwrap_err().to_string();
            assert!(err.contains(says), "{inputs:?}: {err}");
        }
    }
}
