//! The program `clipcore`: what a person types, over the library of the same name.

pub mod commands;
mod input;
pub mod replay_files;
