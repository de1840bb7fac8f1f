//! The bad inputs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::programs::run;

/// Stands in URLs, and never in what the program says.
pub(crate) const SECRET: &str = "hunter22";

fn ffmpeg(dir: &Path, args: &str) {
    let mut command = Command::new("ffmpeg");
    command.current_dir(dir).args(["-v", "error", "-nostdin", "-y"]).args(args.split(' '));
    run(&mut command);
}

/// Makes everything but the playlists in `dir`.
pub(crate) fn make(dir: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    ffmpeg(
        dir,
        "-f lavfi -i testsrc2=s=320x180:r=30:d=6 -f lavfi -i sine=f=440:r=48000:d=6 \
         -c:v libx264 -preset ultrafast -g 60 -c:a aac ok.mp4",
    );
    for args in [
        "-i ok.mp4 -c copy ok.ts",
        "-i ok.mp4 -an -c copy silent.mp4",
        "-i ok.mp4 -vn -c copy dark.m4a",
        "-i ok.mp4 -t 0 -c copy zero.mp4",
        "-i ok.mp4 -vn -c:a pcm_s16le pcm.wav",
        "-i ok.mp4 -an -c:v libvpx -b:v 300k -deadline realtime -cpu-used 8 vp8.webm",
        "-i ok.mp4 -c:v mjpeg -c:a pcm_s16le mjpeg.avi",
        "-i ok.mp4 -frames:v 1 -an picture.png",
        // 2^33 ticks of 90 kHz are 95 443.7 s: the counter wraps in the middle.
        "-i ok.mp4 -c copy -output_ts_offset 95440.717 wrap.ts",
        "-i ok.mp4 -c copy -output_ts_offset 1000 later.ts",
    ] {
        ffmpeg(dir, args);
    }
    write("subtitles.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n");
    ffmpeg(dir, "-i subtitles.srt -c:s mov_text subtitles.mp4");
    let (mp4, ts) = (read("ok.mp4"), read("ok.ts"));
    write("torn.mp4", &mp4[..mp4.len() / 2]);
    write("torn.ts", &ts[..ts.len() / 2 + 77]);
    write("backwards.ts", &[ts.clone(), ts.clone()].concat());
    write("jump.ts", &[ts, read("later.ts")].concat());
    write("-y.mp4", &mp4);
    write("concat:ok.mp4", &mp4);
    write("empty.mp4", b"");
    write("text.txt", b"this is text, and no stream\n");
    write("weights.toml", b"[decision]\nenter = \"high\"\n");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    write("garbage.mp4", &noise.take(50_000).collect::<Vec<_>>());
    events(&write);
    earlier_runs(dir);
}

/// Files of events: a bad line each, between two good ones whose moments must come all the same.
fn events(write: &dyn Fn(&str, &[u8])) {
    let around = |bad: &[u8]| {
        let good = |at: u32, label: &str| {
            format!("{{\"type\":\"marker\",\"at\":{at},\"data\":{{\"label\":\"{label}\"}}}}\n").into_bytes()
        };
        [&good(1, "before"), bad, b"\n", &good(40, "after")].concat()
    };
    let long = format!(r#"{{"type":"marker","at":2,"data":{{"label":"{}"}}}}"#, "x".repeat(2_000_000));
    for (name, bad) in [
        ("json", &br#"{"type":"marker","at":2,"#[..]),
        ("binary", b"\xff\xfe\x00\x01\xc3\x28"),
        ("list", b"[1,2,3]"),
        ("typeless", br#"{"at":2,"data":{}}"#),
        ("when", br#"{"type":"marker","data":{}}"#),
        ("nan", br#"{"type":"marker","at":NaN,"data":{}}"#),
        ("nan_text", br#"{"type":"marker","at":"NaN","data":{}}"#),
        ("absurd", br#"{"type":"marker","at":1e300,"data":{}}"#),
        ("date", br#"{"type":"marker","time":"2026-13-45T00:00:00Z","data":{}}"#),
        ("types", br#"{"type":"chat.message","at":2,"data":{"user":"ann","text":7}}"#),
        ("traversal", br#"{"type":"marker","stream":"../../etc","at":2,"data":{}}"#),
        ("long", long.as_bytes()),
        ("unknown", br#"{"type":"acme.thing","at":2,"data":{"colour":"mauve"}}"#),
        ("other", br#"{"type":"marker","stream":"somebody-else","at":2,"data":{}}"#),
        ("chat", br#"{"type":"chat.message","at":2,"data":{"user":"annabella","text":"rhubarb crumble"}}"#),
    ] {
        write(&format!("{name}.jsonl"), &around(bad));
    }
}

/// Folders of runs, whole and damaged.
fn earlier_runs(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    run(command.current_dir(dir).args(["run", "ok.mp4", "--chat", "unknown.jsonl", "--out", "earlier"]));
    for copy in ["damaged", "two"] {
        run(Command::new("cp").current_dir(dir).args(["-r", "earlier", copy]));
    }
    let log = dir.join("damaged/log/0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x04;
    fs::write(log, bytes).unwrap();
    fs::create_dir_all(dir.join("two/recordings/second/main")).unwrap();
    fs::create_dir_all(dir.join("nothing")).unwrap();
    fs::create_dir_all(dir.join("blocked/recordings/ok")).unwrap();
    fs::write(dir.join("blocked/recordings/ok/main"), "a file where a folder should be").unwrap();
    fs::write(dir.join("a-file"), "no folder").unwrap();
}

/// Playlists and scripts that would have clipcore open what it must not.
pub(crate) fn playlists(dir: &Path, port: u16) {
    let playlist =
        |target: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n");
    fs::write(dir.join("passwd.m3u8"), playlist("file:///etc/passwd")).unwrap();
    fs::write(dir.join("call.m3u8"), playlist(&format!("http://127.0.0.1:{port}/x.ts"))).unwrap();
    fs::write(dir.join("script.mp4"), "ffconcat version 1.0\nfile /etc/passwd\n").unwrap();
}
