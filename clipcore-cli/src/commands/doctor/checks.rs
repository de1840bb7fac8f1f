//! The single checks of `doctor`.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Check, Verdict};

const GIB: f64 = (1_u64 << 30) as f64;
/// The oldest ffmpeg that the media source was built for.
const OLDEST_FFMPEG: (u32, u32) = (4, 4);
/// Below this much free space a recording soon stops.
const LEAST_DISK_GIB: f64 = 2.0;
const LEAST_MEMORY_GIB: f64 = 0.5;
const INSTALL_FFMPEG: &str =
    "install ffmpeg (Debian and Ubuntu: apt install ffmpeg; macOS: brew install ffmpeg)";

/// All checks, most important first.
pub(super) fn all(out: &Path) -> Vec<Check> {
    let mut checks = ffmpeg();
    checks.push(nginx());
    checks.push(disk(out));
    checks.push(memory());
    checks.push(cores());
    checks
}

/// What a listing of ffmpeg must or should hold, and what for.
struct Wanted {
    /// The option that lists it.
    listing: &'static str,
    kind: &'static str,
    needed: &'static [&'static str],
    optional: &'static [(&'static str, &'static str)],
}

const WANTED: [Wanted; 5] = [
    Wanted {
        listing: "-demuxers",
        kind: "demuxer",
        needed: &["mov", "flv", "mpegts", "h264"],
        optional: &[("hls", "HLS inputs"), ("rtsp", "RTSP inputs"), ("matroska", "MKV and WebM inputs")],
    },
    Wanted { listing: "-muxers", kind: "muxer", needed: &["flv", "mp4", "h264", "f32le"], optional: &[] },
    Wanted {
        listing: "-decoders",
        kind: "decoder",
        needed: &["h264", "aac"],
        optional: &[("hevc", "HEVC inputs"), ("opus", "Opus sound"), ("mp3float", "MP3 sound")],
    },
    Wanted { listing: "-encoders", kind: "encoder", needed: &["libx264", "aac", "mjpeg"], optional: &[] },
    Wanted {
        listing: "-protocols",
        kind: "protocol",
        needed: &["file", "pipe"],
        optional: &[("rtmp", "RTMP inputs"), ("https", "HTTPS inputs"), ("srt", "SRT inputs")],
    },
];

fn ffmpeg() -> Vec<Check> {
    let Some(banner) = listing("-version") else {
        return vec![Check::new("ffmpeg", Verdict::Missing, "not found", INSTALL_FFMPEG)];
    };
    let first = banner.lines().next().unwrap_or_default();
    let shown = first.split(" Copyright").next().unwrap_or(first);
    let mut checks = vec![match version(first) {
        Some(v) if v < OLDEST_FFMPEG => {
            let (major, minor) = OLDEST_FFMPEG;
            Check::new(
                "ffmpeg",
                Verdict::Missing,
                shown,
                format!("{major}.{minor} or newer is needed: {INSTALL_FFMPEG}"),
            )
        }
        // Builds from its repository have names instead of numbers.
        _ => Check::new("ffmpeg", Verdict::Ok, shown, ""),
    }];
    for wanted in WANTED {
        let text = listing(wanted.listing).unwrap_or_default();
        let there = names(&text);
        let lacking: Vec<_> = wanted.needed.iter().copied().filter(|n| !there.contains(n)).collect();
        let name = format!("ffmpeg {}s", wanted.kind);
        checks.push(if lacking.is_empty() {
            Check::new(&name, Verdict::Ok, wanted.needed.join(", "), "")
        } else {
            let advice = format!("this build lacks what clipcore needs; {INSTALL_FFMPEG}");
            Check::new(&name, Verdict::Missing, format!("no {}", lacking.join(", ")), advice)
        });
        for (optional, what_for) in wanted.optional.iter().filter(|(n, _)| !there.contains(n)) {
            let found = format!("no {optional}");
            let advice = format!("{what_for} will not work with this build of ffmpeg");
            checks.push(Check::new(&name, Verdict::Optional, found, advice));
        }
    }
    checks
}

fn listing(option: &str) -> Option<String> {
    output_of("ffmpeg", &["-hide_banner", option])
}

fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    // nginx says its version on standard error.
    let text = [out.stdout, out.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn version(banner: &str) -> Option<(u32, u32)> {
    let number = banner.strip_prefix("ffmpeg version ")?.trim_start_matches('n');
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next().and_then(|p| p.parse().ok()).unwrap_or_default()))
}

/// The names in a listing of ffmpeg: the first word that is not flags; demuxers list several with commas.
fn names(listing: &str) -> HashSet<&str> {
    listing
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let first = words.next()?;
            // Protocols stand alone; everything else is flags, then the name.
            Some(words.next().unwrap_or(first))
        })
        .flat_map(|names| names.split(','))
        .collect()
}

fn nginx() -> Check {
    let advice = "a relay for trying RTMP locally; clipcore reads from any other relay as well";
    let found = ["nginx", "/usr/sbin/nginx"].iter().find_map(|program| output_of(program, &["-V"]));
    let Some(text) = found else {
        return Check::new("nginx with RTMP", Verdict::Optional, "nginx not found", advice);
    };
    let version = text.lines().next().unwrap_or_default().trim_start_matches("nginx version: ").to_owned();
    let modules = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"];
    let loadable = modules.iter().any(|dir| Path::new(dir).join("ngx_rtmp_module.so").is_file());
    if loadable || (text.contains("--add-module") && text.contains("rtmp")) {
        Check::new("nginx with RTMP", Verdict::Ok, version, "")
    } else {
        Check::new("nginx with RTMP", Verdict::Optional, format!("{version}, no RTMP module"), advice)
    }
}

fn disk(out: &Path) -> Check {
    // The folder may not be there yet: its nearest ancestor is on the same disk.
    let place = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let Some(dir) = place.ancestors().find(|dir| dir.is_dir()) else {
        return Check::new(
            "disk",
            Verdict::Missing,
            format!("{} is on no disk", out.display()),
            "choose another --out",
        );
    };
    match rustix::fs::statvfs(dir) {
        Ok(stat) => {
            let free = stat.f_bavail as f64 * stat.f_frsize as f64 / GIB;
            let found = format!("{free:.1} GiB free at {}", dir.display());
            if free < LEAST_DISK_GIB {
                let advice = "an hour of a 6 Mb/s stream takes 2.7 GB; free some or choose another --out";
                Check::new("disk", Verdict::Missing, found, advice)
            } else {
                Check::new("disk", Verdict::Ok, found, "")
            }
        }
        Err(e) => {
            Check::new("disk", Verdict::Missing, format!("{}: {e}", dir.display()), "choose another --out")
        }
    }
}

fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    match kib.map(|kib| kib * 1024.0 / GIB) {
        None => Check::new("memory", Verdict::Ok, "not known on this system", ""),
        Some(gib) if gib < LEAST_MEMORY_GIB => {
            let found = format!("{gib:.1} GiB available");
            Check::new("memory", Verdict::Optional, found, "each stream takes some 100 MB with its ffmpeg")
        }
        Some(gib) => Check::new("memory", Verdict::Ok, format!("{gib:.1} GiB available"), ""),
    }
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(n) => Check::new("processor", Verdict::Ok, format!("{n} cores"), ""),
        Err(_) => Check::new("processor", Verdict::Ok, "not known on this system", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_banner() {
        for (banner, expected) in [
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000", Some((5, 1))),
            ("ffmpeg version n7.0 Copyright", Some((7, 0))),
            ("ffmpeg version 4.2.7-0ubuntu0.1 Copyright", Some((4, 2))),
            ("ffmpeg version N-1234-gabcdef Copyright", None),
        ] {
            assert_eq!(version(banner), expected, "{banner}");
        }
    }

    #[test]
    fn listings_give_their_names() {
        let text = " D  mov,mp4,m4a         QuickTime / MOV\n V..... libx264    x264\nInput:\n  file\n";
        let names = names(text);
        assert!(["mov", "mp4", "libx264", "file"].iter().all(|n| names.contains(n)), "{names:?}");
        assert!(!names.contains("V....."));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_disk() {
        let dir = tempfile::tempdir().unwrap();
        let check = disk(&dir.path().join("not/yet/there"));
        assert!(check.found.contains("GiB free"), "{check:?}");
    }
}
