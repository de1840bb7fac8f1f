//! Keeps out of the log what a stream's people did not agree to: keyed pseudonyms, and redaction at the edge.
