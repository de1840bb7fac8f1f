//! Any text as a model card: a card that can be written and read again, or an error.
#![no_main]

use clipcore::model::card::Card;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(card) = Card::parse(text) {
        let toml = card.to_toml().expect("a card that was read can be written");
        assert_eq!(Card::parse(&toml).expect("a card that was written can be read"), card);
    }
});
