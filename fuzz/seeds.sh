#!/usr/bin/env bash
# Makes small inputs for all targets, in corpus/TARGET/. Needs ffmpeg and python3.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p corpus/{fragments,progressive,recording,h264,aac}
./seeds.py

ff() { ffmpeg -v error -nostdin -y "$@"; }
fragmented=(-c copy -f mp4 -movflags delay_moov+default_base_moof+frag_discont+skip_trailer
    -frag_duration 20000 -use_editlist 0 -strict -2)
with_piece() { # the target's first byte says in what pieces the rest comes
    { printf '\x40'; cat "$1"; } >"corpus/fragments/$2"
}

for b in 0 2; do
    ff -f lavfi -i testsrc2=s=64x64:r=10 -f lavfi -i sine=r=16000 -t 0.6 -c:v libx264 -bf $b -b_strategy 0 -g 5 \
        -preset superfast -pix_fmt yuv420p -c:a aac -b:a 16k "$work/$b.mp4"
    ff -i "$work/$b.mp4" "${fragmented[@]}" "$work/$b.frag"
    with_piece "$work/$b.frag" "h264-$b"
    cp "$work/$b.frag" "corpus/recording/foreign-$b"
    ff -i "$work/$b.mp4" -c copy -movflags faststart "corpus/progressive/faststart-$b.mp4"
done
ff -f lavfi -i sine -t 0.4 -c:a libopus "$work/opus.mkv"
ff -i "$work/opus.mkv" "${fragmented[@]}" "$work/opus.frag"
with_piece "$work/opus.frag" opus
ff -i "$work/2.mp4" -c copy -bsf:v h264_mp4toannexb -f h264 corpus/h264/annex-b
ff -i "$work/2.mp4" -vn -c copy -f adts "$work/adts"
python3 - "$work/2.mp4" "$work/adts" <<'PY'
import sys

data, adts = (open(path, "rb").read() for path in sys.argv[1:])


def payload(name):
    at = data.index(name)
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]


record, esds = payload(b"avcC"), payload(b"esds")
sound = bytes([len(esds)]) + esds
while adts and len(sound) < 2000:
    size = int.from_bytes(adts[3:6], "big") >> 5 & 0x1FFF
    sound, adts = sound + (size - 7).to_bytes(2, "big") + adts[7:size], adts[size:]
open("corpus/aac/sound", "wb").write(sound)
sps = 8 + int.from_bytes(record[6:8], "big")
pps = sps + 3 + int.from_bytes(record[sps + 1 : sps + 3], "big")
for name, part in ("avcc", record), ("sps", record[8:sps]), ("pps", record[sps + 3 : pps]):
    open(f"corpus/h264/{name}", "wb").write(part)
PY

# A recorded file and a clip as clipcore itself writes them, where the program is there.
clipcore=${CLIPCORE:-../target/debug/clipcore}
if [ -x "$clipcore" ]; then
    "$clipcore" run "$work/2.mp4" --out "$work/out" --quiet
    own=$(find "$work/out/recordings" -name '*.mp4' | head -n 1)
    cp "$own" corpus/recording/own
    with_piece "$own" own
    "$clipcore" cut "$work/out" --from 0.1 --to 0.5 --exact -o "$work/cut.mp4" >/dev/null
    cp "$work/cut.mp4" corpus/progressive/cut.mp4
fi
du -sh corpus/*
