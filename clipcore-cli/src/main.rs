//! `clipcore`: the command line over the library of the same name.
fn main() {}
