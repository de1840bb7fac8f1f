"""What the configuration says of sinks, sources and privacy: in Python it does what it does in the program."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import skip

import clipcore

ACE = [{"type": "marker", "at": 6.0, "data": {"label": "ace"}}]
SECRET = base64.b64encode(bytes(range(24))).decode()


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted, and answers as it was told to."""

    def do_HEAD(self) -> None:
        self.answer(204)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        self.answer(self.server.status)  # type: ignore[attr-defined]

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def receiver(status: int = 204) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that takes webhooks."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.posted, server.status = [], status  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def webhook(server: http.server.ThreadingHTTPServer, **more: object) -> dict[str, object]:
    """Settings that name the server."""
    url = f"http://127.0.0.1:{server.server_port}/hooks?token=t0"
    return {"sinks": {"webhook": {"here": {"url": url, "allow_private": True, **more}}}}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, Callable[..., str]]]:
    """A Redis server: its address, and its command line."""
    if not shutil.which("redis-server") or not shutil.which("redis-cli"):
        skip("redis", "there is no redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)], **quiet)

    def cli(*args: str) -> str:
        return subprocess.run(["redis-cli", "-p", port, *args], capture_output=True, text=True, check=True).stdout.strip()

    for _ in range(200):
        if subprocess.run(["redis-cli", "-p", port, "ping"], **quiet).returncode == 0:
            break
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}", cli
    server.terminate()
    server.wait()


def test_clips_go_to_the_configured_store(talk, tmp_path) -> None:
    store = tmp_path / "store"
    config = {"sinks": {"object_store": {"url": str(store), "key": "{stream}/{clip}.mp4"}}}
    report = clipcore.run(talk, chat=ACE, config=config, out=tmp_path / "out").wait()
    (clip,) = report.clips
    assert (store / "talk" / f"{clip.id}.mp4").read_bytes() == clip.file.read_bytes()


def test_webhooks_are_signed_and_come_once_each(talk, monkeypatch) -> None:
    monkeypatch.setenv("CLIPCORE__SINKS__WEBHOOK__HERE__SECRETS", f"whsec_{SECRET}")
    with receiver() as server:
        report = clipcore.run(talk, chat=ACE, config=webhook(server)).wait()
    told = []
    for path, headers, body in server.posted:
        assert path == "/hooks?token=t0"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = hmac.new(bytes(range(24)), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
        data = json.loads(body)["data"]
        told.append((data["id"], data["rev"], data["state"]))
    found = [*report.transitions, *report.clip_transitions]
    assert sorted(told) == sorted((item.id, item.rev, item.state) for item in found)


def test_what_a_sink_refuses_for_good_is_put_aside_and_raised(talk, tmp_path) -> None:
    with receiver(status=400) as server:
        run = clipcore.run(talk, chat=ACE, config=webhook(server, moments=False, secrets=f"whsec_{SECRET}"), out=tmp_path)
        with pytest.raises(clipcore.Error, match="webhook.here"):
            run.wait()
    letters = [json.loads(line) for line in (tmp_path / "dead-letters/webhook.here.jsonl").read_text().splitlines()]
    assert len(letters) == len(run.report.clip_transitions) > 0
    assert len(run.report.clips) == 1 and run.report.undelivered


def test_redis_and_rq_hear_of_moments_and_clips(talk, redis, tmp_path) -> None:
    url, cli = redis
    file = tmp_path / "clipcore.toml"
    file.write_text(f'[sinks.redis]\nurl = "{url}"\n[sinks.rq]\nurl = "{url}"\n')
    report = clipcore.run(talk, chat=ACE, config=file).wait()
    assert int(cli("XLEN", "{clipcore:talk}:moments")) == len(report.transitions)
    assert int(cli("XLEN", "{clipcore:talk}:clips")) == len(report.clip_transitions)
    assert cli("LRANGE", "rq:queue:clips", "0", "-1").splitlines() == [f"clipcore-{clip.id}" for clip in report.clips]


def test_events_come_from_the_configured_redis(redis) -> None:
    url, cli = redis
    with clipcore.run(stream="show", config={"sources": {"redis": {"url": url}}, "engine": {"lateness": 0.0}}, transitions=True) as run:
        for _ in range(100):
            if cli("PUBSUB", "NUMPAT") != "0" or cli("PUBSUB", "CHANNELS"):
                break
            time.sleep(0.05)
        cli("PUBLISH", "live:show", json.dumps({"type": "marker", "data": {"label": "ace"}}))
        assert next(run.moments()).label == "ace"


def test_a_sink_that_cannot_be_reached_is_said_before_anything_is_done(talk, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"sinks": {"redis": {"url": f"redis://:hush@127.0.0.1:{port}", "timeout": 0.5}}}
    with pytest.raises(clipcore.Error) as caught:
        clipcore.run(talk, config=config, out=tmp_path)
    told = str(caught.value)
    assert "sinks.redis" in told and str(port) in told and "hush" not in told
    assert not (tmp_path / "recordings").exists() and not (tmp_path / "moments.jsonl").exists()


def test_a_python_sink_may_not_take_a_configured_ones_name(talk, tmp_path) -> None:
    def object_store(item: object) -> None:
        raise AssertionError("never called")

    with pytest.raises(clipcore.ConfigError, match='two sinks named "object_store"'):
        clipcore.run(talk, sinks=[object_store], config={"sinks": {"object_store": {"url": str(tmp_path / "store")}}})


CHAT = [{"type": "chat.message", "at": 1.0 + n, "data": {"user": f"ann{n % 2}", "text": "such a secret shot"}} for n in range(4)]


def texts_in(folder: Path) -> bytes:
    """Everything a folder's log holds."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_run_begins_privacy_as_the_program_does(talk, program, tmp_path) -> None:
    chat = tmp_path / "chat.jsonl"
    chat.write_text("".join(json.dumps(event) + "\n" for event in CHAT))
    program("run", talk, "--chat", chat, "--consent", "chat_text", "--out", tmp_path / "theirs")
    clipcore.run(talk, chat=chat, consent="chat_text", out=tmp_path / "ours").wait()
    keys = [{path.relative_to(tmp_path / who).as_posix() for path in (tmp_path / who / "keys").rglob("*")} for who in ("theirs", "ours")]
    assert keys[0] == keys[1] and any(name.startswith("keys/talk/") for name in keys[0])
    assert not list((tmp_path / "ours").rglob("pseudonyms.key"))
    audits = [[json.loads(line) for line in (tmp_path / who / "audit.jsonl").read_text().splitlines()] for who in ("theirs", "ours")]
    said = [[(note["who"], note["what"], note["subject"], note["outcome"]) for note in audit] for audit in audits]
    assert said[0] == said[1] == [("clipcore", "run", "stream talk", "consent chat_text")]
    assert b"ann1" not in texts_in(tmp_path / "ours"), "users are pseudonyms"


def test_old_words_and_old_keys_are_gone_when_a_run_begins(tmp_path) -> None:
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3)
    events = [{**event, "time": (at + datetime.timedelta(seconds=event["at"])).isoformat()} for event in CHAT]
    events = [{key: value for key, value in event.items() if key != "at"} for event in events]
    out = tmp_path / "out"
    clipcore.run(events=iter(events), stream="s", consent="chat_text", out=out, config={"privacy": {"text_retain": 0.0}}).wait()
    assert b"such a secret shot" in texts_in(out / "log")
    old = out / "keys/s/2020-01-01.key"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(bytes(32))
    with clipcore.run(events=iter(()), stream="t", out=out, config={"privacy": {"text_retain": 0.001}}):
        pass
    assert b"such a secret shot" not in texts_in(out)
    assert not old.exists()
    whats = [json.loads(line)["what"] for line in (out / "audit.jsonl").read_text().splitlines()]
    assert whats == ["run", "expire", "run"]


def test_two_runs_cannot_share_a_folder(tmp_path) -> None:
    def silent() -> Iterator[dict[str, object]]:
        while True:
            time.sleep(0.02)
            yield {"type": "platform.event", "data": {"kind": "follow"}}

    with clipcore.run(events=silent(), stream="s", out=tmp_path):
        with pytest.raises(clipcore.Conflict):
            clipcore.run(events=iter(()), stream="t", out=tmp_path)


def test_settings_as_a_mapping_are_checked_like_a_file(monkeypatch) -> None:
    monkeypatch.setenv("CLIPCORE__SINKS__OBJECT_STORE__URL", "s3://clips")
    monkeypatch.setenv("CLIPCORE__SINKS__OBJECT_STORE__SECRET_ACCESS_KEY", "hush")
    told = clipcore.config_toml({"clips": {"profile": "keyframe"}})
    assert 'profile = "keyframe"' in told and "s3://clips" in told and "hush" not in told
    for wrong, says in [
        ({"engine": {"latenes": 3}}, 'did you mean "lateness"'),
        ({"engine": {"lateness": "fast"}}, "engine.lateness is the text"),
        ({"engin": {}}, 'did you mean "engine"'),
        ({"clips": 3}, "clips is 3"),
    ]:
        with pytest.raises(clipcore.ConfigError, match=says):
            clipcore.config_toml(wrong)
