//! The one integration binary of clipcore.

mod conformance;
