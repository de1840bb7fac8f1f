//! One file a command: its arguments, and a function that runs it.

pub(crate) mod eval;
pub(crate) mod simulate;
