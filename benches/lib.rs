//! Benches live beside this file as `[[bench]]` targets; results are in RESULTS.md.
