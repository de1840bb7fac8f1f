//! Tests through the public interface, in one binary.

#[cfg(feature = "runtime")]
mod store;
