//! Any headers and body as a signed webhook: refused, unless they are signed.
#![no_main]

use std::sync::LazyLock;

use clipcore::WallTime;
use clipcore::gateway::{HookSecret, verify_hook};
use libfuzzer_sys::fuzz_target;

static SECRET: LazyLock<HookSecret> =
    LazyLock::new(|| HookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret"));

fuzz_target!(|parts: (&str, &str, &str, &[u8], i64)| {
    let (id, timestamp, signatures, body, now) = parts;
    let _ = HookSecret::new(signatures);
    let now = WallTime::from_unix_micros(now);
    let secrets = std::slice::from_ref(&*SECRET);
    let signature = SECRET.sign(id, timestamp, body);
    if verify_hook(secrets, id, timestamp, signatures, body, now).is_ok() {
        assert!(signatures.contains(&signature), "what was taken is signed");
    }
    let signed = verify_hook(secrets, id, timestamp, &signature, body, now);
    let fresh = timestamp.parse::<i64>().is_ok_and(|at| {
        (i128::from(at) * 1_000_000 - i128::from(now.as_unix_micros())).unsigned_abs() <= 300_000_000
    });
    assert_eq!(signed.is_ok(), fresh && !id.is_empty() && id.len() <= 256);
});
