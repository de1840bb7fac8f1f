//! The table.

use super::files::SECRET;
use super::{Row, Seen, row};

const NOT_MEDIA: &[&str] =
    &["error: the input is not media that ffmpeg understands", "ffmpeg said: ", "hint: name a recording"];

pub(crate) fn all() -> Vec<Row> {
    [media(), media_that_works(), addresses(), events(), learning(), configuration(), folders(), cuts()]
        .into_iter()
        .flatten()
        .collect()
}

fn media() -> Vec<Row> {
    let run = |name, input: &str| row(name, &format!("run {input} --out OUT"));
    let untouched = |seen: &Seen| assert!(!seen.out.exists(), "something was written");
    let playlist =
        &["the file refers to something that it may not", "hint: a playlist in a file may name only"];
    vec![
        run("missing file", "no/such.mp4")
            .exits(3)
            .says(&["error: there is no such file or folder", "path: no/such.mp4", "hint: check the path"])
            .then(untouched),
        run("folder", "nothing")
            .exits(3)
            .says(&[
                "error: this is a folder, not a media file",
                "path: nothing",
                "hint: name the file inside it",
            ])
            .then(untouched),
        run("empty file", "empty.mp4")
            .exits(3)
            .says(&["error: the file is empty", "path: empty.mp4"])
            .then(untouched),
        run("MP4 without its index", "torn.mp4").exits(3).says(&[
            "error: the file is incomplete",
            "moov atom not found",
            "input: torn.mp4",
            "hint: the file was cut off",
        ]),
        run("noise", "garbage.mp4").exits(3).says(NOT_MEDIA).says(&["input: garbage.mp4"]),
        run("text", "text.txt").exits(3).says(NOT_MEDIA),
        row("nothing on standard input", "run - --out OUT").exits(3).says(NOT_MEDIA),
        run("no picture but one", "picture.png")
            .exits(3)
            .says(&["error: the input is a single picture", "hint: name a recording of a stream"]),
        run("zero length", "zero.mp4").exits(3).says(&[
            "error: the input ",
            "input: zero.mp4",
            "hint: name a recording",
        ]),
        run("subtitles", "subtitles.srt")
            .exits(3)
            .says(&["error: the input has neither sound nor pictures", "input: subtitles.srt"]),
        run("MP4 of subtitles", "subtitles.mp4")
            .exits(3)
            .says(&["error: the input has neither sound nor pictures", "input: subtitles.mp4"]),
        run("playlist of a local secret", "passwd.m3u8").exits(3).says(playlist),
        run("playlist that calls out", "call.m3u8").exits(3).says(playlist),
        run("script as media", "script.mp4").exits(3).says(playlist),
    ]
}

fn media_that_works() -> Vec<Row> {
    let run = |name, input: &str| row(name, &format!("run --out OUT -- {input}"));
    let whole = |seen: &Seen| seen.records(5.9..6.1);
    vec![
        run("no sound", "silent.mp4").then(whole),
        run("no pictures", "dark.m4a").then(whole),
        run("torn MPEG-TS", "torn.ts").then(|seen| seen.records(2.5..4.0)),
        run("sound that MP4 cannot hold", "pcm.wav")
            .says(&["pcm_s16le has no place in MP4: it is recorded as AAC, which costs CPU"])
            .then(whole),
        row("the same on standard input", "run - --out OUT")
            .stdin("pcm.wav")
            .says(&["pcm_s16le has no place in MP4: it is recorded as AAC, which costs CPU"])
            .then(whole),
        row("MPEG-TS on standard input", "run - --out OUT").stdin("ok.ts").then(whole),
        run("pictures that MP4 cannot hold", "vp8.webm")
            .says(&["vp8 has no place in MP4: it is recorded as H.264, which costs CPU"])
            .then(whole),
        run("AVI of JPEG and PCM", "mjpeg.avi").says(&["it is recorded as AAC"]).then(whole),
        run("timestamps that go back", "backwards.ts")
            .says(&["timestamps go back at 7.", "joined from parts"])
            .then(|seen| seen.records(11.9..12.2)),
        row("timestamps that go back on a pipe", "run - --out OUT")
            .stdin("backwards.ts")
            .says(&["timestamps go back at 7.", "run the parts one by one"])
            .then(|seen| seen.records(5.9..6.5)),
        run("timestamps that wrap", "wrap.ts").then(whole),
        run("timestamps that jump", "jump.ts").then(|seen| seen.records(11.9..12.2)),
        run("a name like an option", "-y.mp4").then(whole),
        run("a name like a protocol", "concat:ok.mp4").then(whole),
    ]
}

fn addresses() -> Vec<Row> {
    let run = |name, input: &str| row(name, &format!("run {input} --out OUT"));
    let secret = format!("rtmp://ann:{SECRET}@127.0.0.1:9/live/{SECRET}key?token={SECRET}token");
    vec![
        run("unknown scheme", "gopher://x/y")
            .exits(3)
            .says(&["error: gopher:// cannot be read", "hint: known are http://, https://, rtmp://"]),
        run("no host", "rtmp:///live/key")
            .exits(3)
            .says(&["error: this rtmp:// address names no host", "hint: write it as rtmp://host/path"]),
        run("nobody listens", &secret)
            .env("CLIPCORE__MEDIA__GIVE_UP", "1")
            .exits(3)
            .says(&[
                "error: the input cannot be had",
                "rtmp://127.0.0.1:9/live/…",
                "the server does not answer",
                "check host and port",
            ])
            .then(|seen| assert!(!seen.everything_written().contains(SECRET), "a secret was written down")),
    ]
}

fn events() -> Vec<Row> {
    let replay = |name, file: &str| row(name, &format!("replay {file}.jsonl"));
    let both = |seen: &Seen| {
        for label in ["before", "after"] {
            let closed = seen
                .stdout
                .lines()
                .any(|l| l.contains("\"closed\"") && l.contains(&format!("\"label\":\"{label}\"")));
            assert!(closed, "{label} is lost:\n{}", seen.stdout);
        }
    };
    let bad = |name, file: &str, says: &[&str]| {
        let line = format!("{file}.jsonl, line 2: ");
        replay(name, file).says(&[&[&*line], says].concat()).then(both)
    };
    let not_an_event = &["this is not an event", "an event is a JSON object such as {\"type\":\"marker\""];
    vec![
        bad("torn JSON", "json", not_an_event),
        bad("bytes that are no text", "binary", not_an_event),
        bad("JSON that is no object", "list", not_an_event),
        bad("at that is NaN", "nan", not_an_event),
        bad(
            "at that is the text NaN",
            "nan_text",
            &["NaN is not a time in seconds", "give seconds on the stream's timeline"],
        ),
        bad("at that is absurd", "absurd", &["1e300 is not a time in seconds"]),
        bad("no type", "typeless", &["the event has no \"type\"", "add it, for example"]),
        bad("neither at nor time", "when", &["has neither \"at\" nor \"time\"", "add \"at\""]),
        bad("time that is no date", "date", &["is not an RFC 3339 time", "write it like 2026-"]),
        bad(
            "data of other types",
            "types",
            &["the data of this chat.message event is not as it should be", "invalid type: integer `7`"],
        ),
        bad(
            "stream that leaves the folder",
            "traversal",
            &["\"../../etc\" is not a stream id", "use 1 to 128 of"],
        ),
        bad("line without end", "long", &["the line is longer than 1048576 bytes"]),
        replay("event of a type nobody knows", "unknown").then(both),
        row("event of a type nobody knows, live", "run ok.mp4 --chat unknown.jsonl --out OUT").then(|seen| {
            let written = seen.everything_written();
            assert!(written.contains("acme.thing") && written.contains("mauve"), "it is not in the log");
            assert!(seen.file("moments.jsonl").contains("\"label\":\"before\""), "{}", seen.stderr);
        }),
        row("event of another stream", "run ok.mp4 --chat other.jsonl --out OUT")
            .says(&["this marker is of stream somebody-else, not of ok", "leave the stream out", "1 bad"])
            .then(|seen| {
                assert!(seen.file("moments.jsonl").contains("\"label\":\"before\""), "{}", seen.stderr)
            }),
        row("bad line in the chat of a run", "run ok.mp4 --chat json.jsonl --out OUT")
            .says(&["json.jsonl: this is not an event", "line: 2"])
            .then(|seen| {
                assert!(seen.file("moments.jsonl").contains("\"label\":\"before\""), "{}", seen.stderr)
            }),
        row("chat text without consent", "run ok.mp4 --chat chat.jsonl --out OUT")
            .says(&["chat_keyword is off: it needs --consent chat_text", "3 events"])
            .then(|seen| {
                let written = seen.everything_written();
                assert!(written.contains("chat.message"), "the message itself counts");
                for word in ["rhubarb", "crumble", "annabella"] {
                    assert!(!written.contains(word) && !seen.stderr.contains(word), "{word} was kept");
                }
            }),
        row("chat text with consent", "run ok.mp4 --chat chat.jsonl --consent chat_text --out OUT")
            .then(|seen| assert!(seen.everything_written().contains("rhubarb"))),
        row("no chat file", "run ok.mp4 --chat no/chat.jsonl --out OUT").exits(3).says(&[
            "error: there is no such file or folder",
            "path: no/chat.jsonl",
            "hint: --chat names a file of events",
        ]),
        row("no file to replay", "replay no/chat.jsonl").exits(3).says(&[
            "error: there is no such file or folder",
            "path: no/chat.jsonl",
            "hint: name a file of events",
        ]),
        row("one of two files to replay", "replay no/chat.jsonl json.jsonl")
            .exits(3)
            .says(&["path: no/chat.jsonl"])
            .then(both),
        row("replay of what is no event at all", "replay ok.mp4").exits(3).says(&[
            "ok.mp4, line 1: this is not an event",
            "error: none of its lines is an event",
            "path: ok.mp4",
        ]),
        row("folder without a log", "replay nothing").exits(3).says(&[
            "error: there is no log in this folder",
            "path: nothing",
            "hint: name the folder that a run wrote",
        ]),
        row("damaged log", "replay damaged").exits(3).says(&[
            "error: a record of the log is damaged",
            "path: damaged/log/0/",
            "byte: ",
            "hint: restore the file from a copy",
        ]),
        row("run on a damaged log", "run ok.mp4 --out damaged").exits(3).says(&[
            "error: a record of the log is damaged",
            "path: damaged/log/0/",
            "hint: restore the file from a copy",
        ]),
    ]
}

fn learning() -> Vec<Row> {
    vec![
        row("nothing to learn from", "tune json.jsonl").exits(2).says(&["--truth", "--feedback"]),
        row("no labels", "tune --truth no/labels.csv json.jsonl")
            .exits(3)
            .says(&["error: there is no such file or folder", "path: no/labels.csv"]),
        row("labels that are text", "tune --truth text.txt json.jsonl").exits(3).says(&[
            "error: text.txt",
            "the header has no column \"stream\"",
            "hint: write a header stream,start,end[,kind]",
        ]),
        row("feedback that is text", "tune --feedback text.txt").exits(3).says(&[
            "this is not a verdict on a moment",
            "line: 1",
            "hint: write {\"moment\":\"ID\",\"verdict\":\"approved\"}",
        ]),
        row("weights that are text", "replay json.jsonl --weights text.txt").exits(2).says(&[
            "error: the weights file cannot be used",
            "path: text.txt",
            "hint: leave fusion.weights out",
        ]),
    ]
}

fn configuration() -> Vec<Row> {
    let run = |name, toml: &str| row(name, "run ok.mp4 --out OUT").config(toml).exits(2);
    vec![
        run("unknown key", "[engine]\nlatenes = 3\n").says(&[
            "error: unknown key \"engine.latenes\"",
            ".toml, line 2",
            "hint: did you mean \"lateness\"?",
        ]),
        run("value of another type", "[engine]\nlateness = \"fast\"\n")
            .says(&["error: engine.lateness is the text \"fast\", but should be a number", ".toml, line 2"]),
        run("value out of range", "[recorder]\nretain = 1\n").says(&["error: recorder.retain is below 30 s"]),
        run("width out of range", "[media.frames]\nwidth = 31\n")
            .says(&["error: media.frames.width is not an even number from 32 to 3840"]),
        run("no TOML", "[engine\n").says(&["error: TOML parse error at line 1", ".toml"]),
        run("weights that are not there", "[fusion]\nweights = \"no/weights.toml\"\n").says(&[
            "error: the weights file cannot be used",
            "key: fusion.weights",
            "no such file",
        ]),
        run("broken weights", "[fusion]\nweights = \"weights.toml\"\n").says(&[
            "error: the weights file cannot be used",
            "key: fusion.weights",
            "path: weights.toml",
        ]),
        row("no configuration file", "run ok.mp4 --out OUT --config no/such.toml").exits(2).says(&[
            "error: the configuration file cannot be read",
            "path: no/such.toml",
            "hint: name a TOML file",
        ]),
        row("environment", "run ok.mp4 --out OUT").env("CLIPCORE__ENGINE__LATENES", "3").exits(2).says(&[
            "error: unknown key \"engine.latenes\"",
            "environment: CLIPCORE__ENGINE__LATENES",
            "did you mean",
        ]),
        row("unknown consent", "run ok.mp4 --out OUT --consent faces")
            .exits(2)
            .says(&["unknown consent \"faces\"; known are chat_text, face"]),
        row("unknown detector", "detect ok.mp4 --detector loudnes")
            .exits(2)
            .says(&["error: there is no detector \"loudnes\"", "hint: known are loudness"]),
        row("stream that leaves the folder, as a flag", "run ok.mp4 --out OUT --stream ../../etc")
            .exits(2)
            .says(&["\"../../etc\" is not a stream id", "use 1 to 128 of"]),
    ]
}

fn folders() -> Vec<Row> {
    vec![
        row("output folder that is a file", "run ok.mp4 --out a-file").exits(3).says(&[
            "error: something of that name is in the way",
            "path: a-file",
            "hint: --out names a folder",
        ]),
        row("output folder inside a file", "run ok.mp4 --out a-file/x").exits(3).says(&[
            "error: part of the path is a file, not a folder",
            "path: a-file/x",
            "hint: --out names a folder",
        ]),
        row("recording folder that is a file", "run ok.mp4 --out blocked")
            .exits(3)
            .says(&["path: blocked/recordings/ok/main", "hint: recordings lie under --out"]),
    ]
}

fn cuts() -> Vec<Row> {
    let cut = |name, args: &str| row(name, &format!("cut {args} -o outs-{}.mp4", name.len()));
    vec![
        cut("end before start", "earlier --from 5 --to 2")
            .exits(2)
            .says(&["error: --to (2.000 s) is not after --from (5.000 s)"]),
        cut("outside of the recording", "earlier --from 50 --to 60").exits(3).says(&[
            "error: nothing is recorded between 50.000 s and 60.000 s",
            "recorded: ",
            "to 6.0",
        ]),
        cut("no recording", "nothing --from 1 --to 2")
            .exits(3)
            .says(&["path: nothing/recordings", "hint: name the folder that `clipcore run --out` wrote"]),
        cut("several streams", "two --from 1 --to 2").exits(2).says(&[
            "error: several streams are recorded there",
            "hint: choose one with --stream: ok, second",
        ]),
        cut("no such stream", "earlier --stream nope --from 1 --to 2")
            .exits(3)
            .says(&["error: no stream \"nope\" is recorded there", "hint: recorded are: ok"]),
        cut("no time", "earlier --from soon --to 2").exits(2).says(&["\"soon\" is not a time", "[h:]mm:ss"]),
        row("no folder for the clip", "cut earlier --from 1 --to 2 -o no/folder/x.mp4").exits(3).says(&[
            "error: the folder of the clip is not there",
            "path: no/folder",
            "hint: make it first",
        ]),
    ]
}
