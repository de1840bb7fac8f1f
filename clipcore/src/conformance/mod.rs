//! Checks that anybody can run on their own parts; every shipped part passes them.
//!
//! The functions panic with a message that says which clause of the contract was broken. They are `async` where
//! the trait is, and need no particular runtime.

pub mod log;
pub mod sink;
