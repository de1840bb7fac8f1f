"""What people usually begin with: a web server that publishes events to Redis pub/sub. `benches/ingest.rs` measures beside it.

    pip install fastapi uvicorn redis
    python benches/compare/ingest_scaffold.py PORT REDIS_URL

An event that is answered 202 is with whoever is subscribed at that instant, and nowhere else.
"""

import json
import sys

import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
bus = redis.from_url(sys.argv[2])


@app.post("/v1/streams/{stream}/events")
async def events(stream: str, request: Request) -> Response:
    body = await request.body()
    async with bus.pipeline(transaction=False) as pipe:
        for line in body.splitlines():
            event = json.loads(line)
            pipe.publish(f"live:{stream}", json.dumps(event | {"stream": stream}))
        await pipe.execute()
    return Response(status_code=202)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
