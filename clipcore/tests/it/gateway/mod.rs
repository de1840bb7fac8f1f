//! The gateway as a program that talks to it sees it: real requests over the loopback.

mod access;
mod erase;
mod feed;
mod hostile;
mod ingest;
mod pings;
mod server;
mod sound;
