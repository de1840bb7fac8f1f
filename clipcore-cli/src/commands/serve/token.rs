//! `clipcore serve token`: who is let in.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use clipcore::gateway::{Scope, Token, Tokens};
use clipcore::{Error, Result};

use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;
use crate::output;

/// Arguments of `serve token`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore serve token bot --scope ingest            for what sends events
  clipcore serve token page --scope read             for what shows moments and clips
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8484/v1/moments

A running server reads its tokens when it starts. To take one back, delete its line in DIR/tokens.jsonl and restart.")]
pub struct TokenArgs {
    /// What people call it; logs do, too
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// What it allows: ingest, read, admin, several with a comma
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = scope, required = true)]
    pub scope: Vec<Scope>,
    /// The folder that is served; clipcore-out where --config does not say
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The file of tokens; DIR/tokens.jsonl where absent
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

fn scope(text: &str) -> Result<Scope> {
    match text {
        "ingest" => Ok(Scope::Ingest),
        "read" => Ok(Scope::Read),
        "admin" => Ok(Scope::Admin),
        other => Err(Error::config(format!("there is no scope {other:?}"))
            .with_hint("known are ingest, read and admin, which allows everything")),
    }
}

fn name(text: &str) -> Result<String> {
    clipcore::StreamId::new(text)
        .map(|name| name.to_string())
        .map_err(|_| Error::config("a token's name has 1 to 128 of A-Z a-z 0-9 . _ -"))
}

/// Where the tokens of a folder are.
pub(super) fn file(config: &Config) -> PathBuf {
    config.out.join("tokens.jsonl")
}

pub(super) fn run(args: &TokenArgs, global: &Global) -> anyhow::Result<Exit> {
    let config = global.config(&Overrides { out: args.data.clone(), ..Overrides::default() })?;
    let path = args.tokens.clone().unwrap_or_else(|| file(&config));
    // What is there already must be readable, or the new one would not be either.
    Tokens::load(&path)?;
    let (secret, token) = Token::generate(&args.name, args.scope.clone())?;
    let mut line = serde_json::to_vec(&token)?;
    line.push(b'\n');
    let write = || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    write().map_err(|e| Error::io(e, &path))?;
    output::text(&format!("{secret}\n"))?;
    if !global.quiet {
        output::note(&format!("this is told once; its hash is in {}", path.display()));
    }
    Ok(Exit::Done)
}
