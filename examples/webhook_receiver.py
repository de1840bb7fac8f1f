"""Receives clipcore's webhooks, verifies them and prints each moment and clip once. Standard library only.

    python3 webhook_receiver.py whsec_… [PORT]

In clipcore's configuration:

    [sinks.webhook.here]
    url = "http://127.0.0.1:8000/"
    secrets = "whsec_…"
    allow_private = true
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time

secret = base64.b64decode(sys.argv[1].removeprefix("whsec_"))
seen = set()  # A real receiver keeps this where it survives a restart.


def verified(headers, body):
    """As Standard Webhooks 1.0 says: over the bytes as they came, in constant time, five minutes at most."""
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(time.time() - int(sent)) > 300:
        return False
    mac = hmac.new(secret, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    right = "v1," + base64.b64encode(mac).decode()
    return any(hmac.compare_digest(right, given) for given in headers.get("webhook-signature", "").split())


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(204)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not verified(self.headers, body):
            return self.answer(401)
        if self.headers["webhook-id"] in seen:
            return self.answer(208)
        seen.add(self.headers["webhook-id"])
        self.answer(204)
        event = json.loads(body)
        print(event["type"], event["subject"], event["data"]["id"], event["data"]["state"], flush=True)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
