//! One file a command: its arguments, and a function that runs it.

/// `clipcore eval`: how good the moments are.
pub mod eval;
/// `clipcore simulate`: streams whose highlights are known.
pub mod simulate;
