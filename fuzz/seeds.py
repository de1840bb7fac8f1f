#!/usr/bin/env python3
"""Makes small inputs for the targets that read text, numbers or pictures, in corpus/TARGET/. Needs Python only."""

import base64
import hashlib
import hmac
import json
import pathlib
import shutil
import struct
import zlib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
CORPUS = HERE / "corpus"
CHAT = '{"type":"chat.message","stream":"s1","id":"7","at":3.5,"data":{"user":"u","text":"h\\u00e9","emotes":["K"]}}'
CLOUD = (
    '{"specversion":"1.0","id":"1","source":"x","type":"marker","subject":"s1","time":"2026-11-23T01:02:03.456Z",'
    '"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"label":"ace","by":"u"}}'
)
EVENTS = [
    CHAT,
    CLOUD,
    '{"type":"marker","data":{}}',
    '{"type":"chat.delete","stream":"s1","at":"4","data":{"user":"u"}}',
    '{"type":"chat_spike","stream":"s1","at":1,"data":{"rate":9,"baseline":1.5}}',
    '{"type":"audio.level","stream":"s1","at":1,"camera":"c","data":{"rms":0.5,"lufs":-20.1,"peak":1,"window_ms":400}}',
    '{"type":"face.expression","stream":"s1","at":1,"data":{"scores":{"happy":0.9},"person":"p"}}',
    '{"type":"game.event","stream":"s1","at":1,"data":{"kind":"streak","count":5,"weight":2.5}}',
    '{"type":"platform.event","stream":"s1","at":1,"data":{"kind":"ad_start","duration_seconds":30}}',
    '{"type":"clock","subject":"s","at":"-1e3","data":{"wall":"2026-11-23T01:02:03.456Z"}}',
    '{"type":"x.y","stream":"s1","time":"2026-11-23T01:02:03Z","data":[1,{"a":null,\n"b":1.5e3}]}',
]
MOMENT = {
    "id": "6f1c0a9be2d34c55", "rev": 2, "stream": "s1", "state": "closed", "start": 10, "peak": 15, "end": 20.5,
    "decided_at": 22, "start_time": "2026-11-23T01:02:03Z", "score": 2.5, "label": "laughter",
    "evidence": [{"detector": "chat_burst", "label": "hype", "at": 15, "score": 4.5, "contribution": 2.5}],
}
CLIP = {
    "id": "c", "moment": "m", "rev": 3, "stream": "s1", "camera": "main", "state": "ready", "path": "clips/c.mp4",
    "asked": {"start": 10, "end": 20}, "achieved": {"start": 10, "end": 20}, "exact": True, "reasons": [],
    "codec": "avc1.64001F,mp4a.40.2", "width": 64, "height": 64, "fps": 29.97, "bytes": 4, "sha256": "00" * 32,
}
OWN = {
    "signal": {"id": "a", "stream": "s1", "detector": "loudness", "version": 1, "camera": "main", "label": "loud",
               "at": 3, "onset": 2.5, "score": 4.1234},
    "late": {"id": "a", "stream": "s1", "at": 1, "watermark": 9},
    "moment": MOMENT,
    "clip": CLIP,
    "receipt": {"item": "c", "rev": 0, "stream": "s1", "sink": "files", "location": "x", "duplicate": True},
    "arrival": {"received": "2026-11-23T01:02:03Z", "event": json.loads(CLOUD)},
}
RECORDS = [
    json.dumps({"specversion": "1.0", "type": f"clipcore.{kind}", "id": "1", "source": "clipcore", "subject": "s1",
                "data": data}, separators=(",", ":"))
    for kind, data in OWN.items()
]


def seed(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def arbitrary(parts, rest):
    """A tuple as the crate `arbitrary` reads it: texts, whose lengths stand at the end, and a last one that has none."""
    parts = [p.encode() if isinstance(p, str) else p for p in parts]
    tail, left = b"", len(rest)
    for part in reversed(parts):
        left += len(part)
        wide = 1 if left + 1 <= 256 else 2
        tail += len(part).to_bytes(wide, "big")
        left += wide
    return b"".join(parts) + rest + tail


def texts():
    for n, event in enumerate(EVENTS):
        seed("event", f"{n}", event)
        seed("record", f"event-{n}", event)
        seed("events_of", f"one-{n}", b"\x01" + event.encode())
        seed("published", f"{n}", arbitrary(["a:{stream_id}:b", "a:s1:b"], event.encode()))
    for n, record in enumerate(RECORDS):
        seed("record", f"own-{n}", record)
    seed("published", "own", arbitrary(["{stream_id}", "s1"], RECORDS[0].encode()))
    lines = "\n".join(e.replace("\n", "") for e in EVENTS[:4])
    array = f"[{EVENTS[0]}, 7,\n{EVENTS[1]}]"
    for kind in range(5):
        seed("events_of", f"lines-{kind}", bytes([kind]) + lines.encode())
        seed("events_of", f"array-{kind}", bytes([kind]) + array.encode())
    frames = b""
    for n, record in enumerate([CHAT, RECORDS[2], RECORDS[4]]):
        body = f"{n} {n} {record}".encode()
        frames += b"%08x %s\n" % (zlib.crc32(body), body)
    seed("segment", "three", frames)
    seed("segment", "cut", frames[:-20])
    seed("labels", "plain", "stream,start,end,kind\ns1,1.5,9,hype\n\ns2,-3,4e1,\n")
    seed("labels", "reordered", "\ufeffend, extra ,START,stream\r\n9,x,1.5,s1\r\n")
    burst = [
        f'{{"type":"chat.message","stream":"s1","id":"{n}","at":{at},"data":{{"user":"u{n}","text":"LUL"}}}}'
        for n, at in enumerate([1, 20, 40, 60, *[60 + n / 8 for n in range(40)]])
    ]
    clock = '{"type":"clock","stream":"s1","id":"c","at":200,"data":{"wall":"2026-11-23T01:02:03Z"}}'
    end = '{"type":"clock","stream":"s1","id":"e","at":201,"data":{"end":true}}'
    marker = '{"type":"marker","stream":"s1","id":"m","at":62,"data":{"label":"ace"}}'
    seed("replay", "bare", "\n".join(burst))
    seed("replay", "log", "\n".join([*burst[:24], marker, RECORDS[0], clock, RECORDS[2], lines, end]))
    seed("replay", "far", marker.replace("62", "1e9") + "\n" + marker.replace("s1", "s2").replace("62", "-1e9"))
    seed("replay", "signal", json.dumps(OWN["signal"]))
    verdict = '{"moment":"6f1c0a9be2d34c55","verdict":"rejected","by":"anna","time":"2026-11-23T01:02:03Z"}'
    seed("feedback", "two", f'{verdict}\n\n{{"moment":"b","verdict":"approved","more":[]}}\n')
    seed("weights", "shipped", (ROOT / "clipcore/src/fusion/defaults.toml").read_bytes())
    seed("weights", "small", """format = 1
version = "v"
bias = -1.0
max_llr = 4.0
[decision]
tick = 0.5
enter = 0.4
hysteresis = 0.6
provisional = -0.6
confirm_within = 35.0
sustain = 2.0
quiet = 3.0
refractory = 45.0
max_length = 90.0
[bounds]
pre_roll = 3.0
post_roll = 5.0
chat_delay = 26.0
chat_onset_delay = 10.0
chat_before = 18.0
chat_after = -20.5
chat_stretch = 1.0
chat_min_length = 44.5
[groups.chat]
role = "late"
weight = 1.0
hold = 1.0
[[calibration]]
detector = "*"
label = "*"
group = "chat"
points = [[1.0, 0.5], [4.0, 2.5]]
""")
    for card in sorted((ROOT / "clipcore/src/model").rglob("*.toml")):
        if card.stat().st_size < 4000:
            seed("card", card.stem, card.read_bytes())
    seed("card", "whistle", (ROOT / "examples/own_model/whistle.toml").read_bytes())


def signed():
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    for name, now in ("fresh", 1_614_265_330), ("old", 1_614_269_000):
        head, body = ("msg_1", "1614265330"), b'{"test": 1}'
        mac = hmac.new(key, ".".join(head).encode() + b"." + body, hashlib.sha256).digest()
        signature = f"v1,AAAA v2,x v1,{base64.b64encode(mac).decode()}"
        seed("webhook", name, arbitrary([*head, signature, body], struct.pack("<q", now * 1_000_000)))
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    seed("webhook", "secret", arbitrary(["i", "-1", secret, b""], struct.pack("<q", 0)))


def sound():
    spec = '{"pcm":{"format":"s16le","rate":48000,"channels":2,"at":12.5}}'
    seed("pcm", "s16le", arbitrary([spec], b"\0" + struct.pack("<4h", 0, 1, -32768, 32767)))
    spec = ' { "pcm":{"format":"f32le","rate":16000,"time":"2026-11-23T01:02:03Z"}}'
    seed("pcm", "f32le", arbitrary([spec], b"\x05" + struct.pack("<2f", -0.5, 1.0)))


def networks():
    # Width and height in cells of 32 pixels, a shape that is wrong where the flag is odd, then numbers that go on.
    numbers = [0.9, 0.95, 0.1, -0.2, 0.5, 1.0, 2.0]
    more = b"".join(b"\x01" + struct.pack("<f", x) for x in numbers)
    seed("faces", "sure", bytes([2, 3, 0, 0]) + more)
    seed("faces", "wrong", bytes([1, 1, 5, 1]) + more)
    seed("faces", "odd", bytes([7, 7, 0, 0]) + b"\x01" + struct.pack("<f", float("nan")) + more)
    shutil.copy(ROOT / "examples/own_model/whistle.onnx", CORPUS / "onnx_graph/whistle")
    seed("onnx_graph", "nested", model(branches(3)))
    seed("onnx_graph", "shape", model(expanded([4, 1 << 20])))


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def model(graph):
    return field(1, 8) + field(2, "seed") + field(7, graph) + field(8, field(2, 17))


def port(number, name):
    dims = field(1, field(2, "batch")) + field(1, field(1, 4))
    return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))))


def branches(depth):
    inner = branches(depth - 1) if depth else port(12, "out")
    node = field(1, "x") + field(2, "y") + field(4, "If") + field(7, "custom")
    return port(11, "x") + field(1, node + field(5, field(1, "then") + field(6, inner))) + port(12, "y")


def expanded(shape):
    raw = b"".join(struct.pack("<q", n) for n in shape)
    weight = field(1, len(shape)) + field(2, 7) + field(8, "shape") + field(9, raw)
    listed = field(5, field(1, "value_ints") + b"".join(field(8, n) for n in shape))
    nodes = field(1, field(2, "other") + field(4, "Constant") + listed)
    for name in "shape", "other":
        nodes += field(1, field(1, "x") + field(1, name) + field(2, "y") + field(4, "Expand"))
    return field(5, weight) + nodes + port(11, "x") + port(12, "y")


for target in "onnx_graph", "picture":
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
for picture in (HERE / "seeds/picture").iterdir():
    shutil.copy(picture, CORPUS / "picture")
texts()
signed()
sound()
networks()
