#!/usr/bin/env bash
# Asks a server of its own everything that /openapi.json describes, and much that it does not, with schemathesis: what is
# answered must be what is described. Needs pip and a network, once. scripts/api.sh [EXAMPLES]: so many for each operation;
# scripts/api.sh --install only gets what is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
examples=${1:-25} version=4.32.5 venv=target/schemathesis
if [ "$(cat "$venv/version" 2>/dev/null)" != "$version" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    echo "$version" >"$venv/version"
fi
[ "$examples" = --install ] && exit
clipcore=${CLIPCORE:-target/debug/clipcore}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT

# A moment and its clip, for the catalog to find.
mkdir -p "$work/data/clips"
head -c 5000 /dev/zero | tee "$work/data/clips/c.mp4" "$work/data/clips/c.jpg" >"$work/data/clips/c.preview.mp4"
cat >"$work/data/moments.jsonl" <<'JSON'
{"id":"3030000000000001","rev":3,"stream":"found","state":"closed","start":10.0,"peak":15.0,"end":20.0,"decided_at":24.0,"score":2.5,"label":"ace","evidence":[]}
JSON
cat >"$work/data/clips.jsonl" <<'JSON'
{"id":"c11b000000000001","moment":"3030000000000001","rev":3,"stream":"found","camera":"main","state":"ready","path":"clips/c.mp4","thumbnail":"clips/c.jpg","preview":"clips/c.preview.mp4","asked":{"start":10.0,"end":20.0},"achieved":{"start":10.0,"end":20.0},"exact":true,"reasons":[],"bytes":5000}
JSON
token=$("$clipcore" serve token schemathesis --scope ingest,read,admin --data "$work/data" --quiet)
# Streams come and go by the hundred: that there are too many of them is tested elsewhere.
export CLIPCORE__HOST__MAX_STREAMS=100000 CLIPCORE__HOST__MAX_KNOWN=1000000 CLIPCORE__HOST__IDLE_STOP=1
export CLIPCORE__GATEWAY__RATE=100000 CLIPCORE__GATEWAY__BURST=100000
: >"$work/said"
"$clipcore" serve --listen 127.0.0.1:0 --data "$work/data" 2>"$work/said" &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/^listening on //p' "$work/said")
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { cat "$work/said"; exit 1; }
curl -sf -H "Authorization: Bearer $token" -d '{"type":"marker","data":{"label":"ace"}}' "$url/v1/streams/show/events" >/dev/null

# Feeds and sockets do not end.
status=0
"$venv/bin/schemathesis" --config-file scripts/schemathesis.toml run "$url/openapi.json" -H "Authorization: Bearer $token" \
    --phases examples,coverage,fuzzing,stateful --max-examples "$examples" --seed 1 --generation-database none \
    --exclude-path /v1/feed --exclude-path-regex '/ws$' --request-timeout 30 --continue-on-failure || status=$?
kill -0 "$server" 2>/dev/null || { echo "the server has died"; tail "$work/said"; exit 1; }
if grep -n 'panicked\|this is a bug' "$work/said"; then exit 1; fi
exit "$status"
