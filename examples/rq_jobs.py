"""What an RQ worker does with clips: a vertical rendition, and word of it to a web hook.

clipcore's RQ sink makes one job a clip that calls `handle`. Start a worker, on a machine that sees the clips' files:

    pip install rq
    cd examples
    rq worker clips -S json --url redis://localhost:6379

and clipcore with

    [sinks.rq]
    url = "redis://localhost:6379"

`-S json` is needed: RQ's default reads pickles, and fails on these jobs. Only the standard library and ffmpeg are used.
Settings, from the environment:

    CLIPCORE_JOBS_OUT    folder for renditions; beside the clip where it is not set
    CLIPCORE_NOTIFY_URL  where to POST what was made, as JSON; nobody is told where it is not set

A job may run twice (RQ runs it again when a worker dies): a rendition is under its final name whole or not at all, and one
that is there is not made again. Write your own jobs the same way, and name them in the setting `function`.
"""

import json
import logging
import os
import subprocess
import urllib.request
from pathlib import Path

# RQ shows what its own logger says.
log = logging.getLogger("rq.worker")

# The middle of the picture as 9:16, with even sides.
VERTICAL = "crop=2*trunc(min(iw\\,ih*9/16)/2):2*trunc(ih/2)"


def handle(clip: dict, file: str) -> dict:
    """Renders the clip upright and tells the web hook. `clip` is as in clips.jsonl, `file` the finished clip."""
    log.info("clip %s of %s, trace %s", clip["id"], clip["stream"], traceparent() or "none")
    made = {"clip": clip["id"], "stream": clip["stream"], "vertical": render(clip, file)}
    made["notified"] = notify(made)
    return made


def render(clip: dict, file: str) -> str:
    """The path of the vertical rendition, which is made where it is not there."""
    source = Path(file)
    folder = Path(os.environ.get("CLIPCORE_JOBS_OUT") or source.parent)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{clip['id']}-vertical.mp4"
    if target.exists():
        return str(target)
    # Two workers that have the same job write different files; the last one to finish gives its name.
    temporary = target.with_suffix(f".{os.getpid()}.tmp.mp4")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), "-vf", VERTICAL]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-c:a", "copy", "-movflags", "+faststart", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        temporary.unlink(missing_ok=True)
        raise RuntimeError(f"ffmpeg could not render {source}: {done.stderr.strip()[-500:]}")
    os.replace(temporary, target)
    return str(target)


def notify(made: dict) -> bool:
    """Whether somebody was told. An error makes the job fail, so that RQ shows it and can run it again."""
    url = os.environ.get("CLIPCORE_NOTIFY_URL")
    if not url:
        return False
    headers = {"Content-Type": "application/json", "Idempotency-Key": made["clip"]}
    if trace := traceparent():
        headers["traceparent"] = trace
    request = urllib.request.Request(url, json.dumps(made).encode(), headers)
    with urllib.request.urlopen(request, timeout=30):
        return True


def traceparent() -> str | None:
    """The trace that the clip's moment came from, where it had one."""
    try:
        from rq import get_current_job
    except ImportError:  # called by hand
        return None
    job = get_current_job()
    return job.meta.get("traceparent") if job else None
