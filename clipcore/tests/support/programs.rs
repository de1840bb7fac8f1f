//! Which programs this machine has; tests that lack one say so and pass as skipped.

use std::io::Write;
use std::process::{Command, Stdio};

/// Says on standard error, past the test harness's capture, that a test is skipped and why, and notes it in
/// the file that `CLIPCORE_SKIPS` names.
pub fn skipped(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    // One write each, so that lines of parallel tests do not mix; a lost note must not fail a test.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("CLIPCORE_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut f| f.write_all(line.as_bytes()));
    }
}

/// Whether `program` is on the path (or in `/usr/sbin`, where servers live).
pub fn has(program: &str) -> bool {
    find(program).is_some()
}

/// Where `program` lies.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

/// Whether all `programs` are there; otherwise the test is noted as skipped.
pub fn require(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().copied().filter(|p| !has(p)).collect();
    if !missing.is_empty() {
        skipped(test, &format!("{} is not installed (make setup)", missing.join(", ")));
    }
    missing.is_empty()
}

/// The folder of shared test media (`CLIPCORE_SHARED`, else `../shared` beside the repository); where it is
/// missing the test is noted as skipped.
pub fn shared(test: &str, inside: &str) -> Option<std::path::PathBuf> {
    let root = std::env::var_os("CLIPCORE_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        std::path::PathBuf::from,
    );
    let path = root.join(inside);
    if path.exists() {
        return Some(path);
    }
    skipped(test, &format!("shared test data {inside} is not there (set CLIPCORE_SHARED)"));
    None
}

/// Whether the installed ffmpeg can encode with `encoder`.
pub fn ffmpeg_encodes(encoder: &str) -> bool {
    Command::new("ffmpeg")
        .args(["-v", "quiet", "-h", &format!("encoder={encoder}")])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).starts_with("Encoder"))
}

/// Runs a command to its end; its standard output.
///
/// # Panics
/// With its standard error where it fails.
pub fn run(command: &mut Command) -> Vec<u8> {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out.stdout
}
