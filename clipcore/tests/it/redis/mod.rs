//! What goes over Redis, against real servers.

mod log;
