//! Invariants of the whole engine on random input. `PROPTEST_CASES` sets how many.

use clipcore::Timestamp;
