//! One file a command: its arguments and `run(args, global) -> Result<Exit>`.

pub mod cut;
pub mod demo;
pub mod detect;
pub mod doctor;
pub mod eval;
pub mod models;
pub mod privacy;
pub mod redeliver;
pub mod replay;
pub mod run;
pub mod serve;
pub mod simulate;
pub mod snapshots;
pub mod tune;
