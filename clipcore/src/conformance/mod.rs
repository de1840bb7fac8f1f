//! A test kit for anybody's detector, fusion, log or sink; every shipped one passes it.
//!
//! Each function takes a way to make a fresh subject and deterministic input, checks the contract of the trait,
//! and says what was violated. Those of asynchronous traits are `async` and need no particular runtime.
//!
//! ```
//! use clipcore::conformance::{cases, detector};
//! use clipcore::detector::ChatBurst;
//!
//! detector::check(|| Box::new(ChatBurst::default()), &cases::events(7))?;
//! # Ok::<(), clipcore::Error>(())
//! ```

pub mod cases;
pub mod detector;
pub mod fusion;
pub mod log;
pub mod onnx;
pub mod sink;
