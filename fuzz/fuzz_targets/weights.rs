//! Any text as a file of fusion weights: weights that can be written and read again, or an error.
#![no_main]

use clipcore::fusion::Weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(weights) = Weights::from_toml(text) {
        let toml = weights.to_toml().expect("weights that were read can be written");
        let again = Weights::from_toml(&toml).expect("weights that were written can be read");
        assert_eq!(again.to_toml().expect("and written again"), toml);
    }
});
