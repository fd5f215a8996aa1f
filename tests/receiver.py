"""A service on loopback that receives the notices that apprise posts to it as JSON."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What no log and no output may show: the parts of a receiver's address that are secret.
SECRETS = ("sesame", "s3cret")


class Receiver:
    """What was received; refuse: how many of the next messages are answered with status 503."""

    def __init__(self, port: int) -> None:
        self.received: list[dict[str, str]] = []
        self.refuse = 0
        self.url = f"json://ada:sesame@127.0.0.1:{port}/s3cret-hook"

    def titles(self) -> list[str]:
        """Return the titles of all messages."""
        return [message["title"] for message in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver that runs within the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = receiver.refuse > 0
            receiver.refuse -= refused
            if not refused:
                receiver.received.append(body)
            self.send_response(503 if refused else 200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            del arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()
