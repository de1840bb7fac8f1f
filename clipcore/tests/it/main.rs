//! The one integration binary of clipcore.

#[path = "../support/mod.rs"]
mod support;

mod conformance;
mod instruments;
