//! `clipcore serve`: the gateway with pipelines behind it, in one process.

mod parts;
mod pools;
mod roles;
mod server;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use clipcore::{Consent, Result};

use self::roles::{Role, Roles};
use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  clipcore serve                                     takes events from programs on this machine
  curl -d '{\"type\":\"marker\",\"data\":{\"label\":\"ace\"}}' http://127.0.0.1:8484/v1/streams/show/events
  curl http://127.0.0.1:8484/v1/moments?stream=show
  curl -X PUT -d '{\"inputs\":[\"rtmp://localhost/live/key\"]}' http://127.0.0.1:8484/v1/streams/show
  clipcore serve token bot --scope ingest            a token, for a server that others can reach
  CLIPCORE__SHARED__URL=redis://db clipcore serve --role fuse   a worker beside others; see docs/howto/hosts.md
  clipcore serve --config all.toml --role detect --pool gpu     detectors of sound and pictures, on a machine of their own
  clipcore serve --listen 0.0.0.0:8484               needs tokens; put a proxy with TLS in front

What is answered 202 is on disk: after a crash, start it again on the same DIR and nothing is lost. /openapi.json
describes all of it. Ctrl-C and SIGTERM finish what is pending; streams go on with the next start.")]
pub struct ServeArgs {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8484")]
    pub listen: SocketAddr,
    /// The folder for the log, recordings, clips and everything else; clipcore-out where --config does not say
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What the people of streams agreed to that do not say themselves: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
    /// What this process does of the work, with commas: gateway, fuse (or record), detect, deliver; the processes of a
    /// deployment share logs in Redis or Kafka (see [shared] of --print-config)
    #[arg(long, value_name = "LIST", default_value = "gateway,fuse,detect,deliver")]
    pub role: Roles,
    /// With the role detect: only the detectors of this pool, see [shared.pools]; those of all pools where absent
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// The file of tokens; DIR/tokens.jsonl where absent
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

/// What `serve` can do beside serving.
#[derive(Debug, Clone, Subcommand)]
pub enum ServeCommand {
    /// Makes a token and prints it, once; only its hash is kept
    Token(token::TokenArgs),
}

impl ServeArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> Result<Config> {
        let flags = Overrides { out: self.data.clone(), consent: self.consent, ..Overrides::default() };
        global.config(&flags)
    }
}

/// Runs the command.
///
/// # Errors
/// Whatever stands in the way of serving.
pub fn run(args: &ServeArgs, global: &Global) -> anyhow::Result<Exit> {
    if let Some(ServeCommand::Token(token)) = &args.command {
        return token::run(token, global);
    }
    let config = args.config(global)?;
    let tokens = args.tokens.clone().unwrap_or_else(|| token::file(&config));
    let asked = server::Asked {
        listen: args.listen,
        tokens: &tokens,
        roles: args.role.clone(),
        pool: args.pool.as_deref(),
        quiet: global.quiet,
    };
    server::serve(&config, &asked)
}
