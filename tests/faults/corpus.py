"""The conformance corpus: requests.jsonl, one raw request a line.

    id     four digits; they stand as ?c=0001 in the request's target, so that what reaches the upstream has an owner
    group, name
    rfc    what RFC 9110 and 9112 want: reject, ok, or either where they leave it open
    want   what the gateway must do: reject (4xx or 5xx, close, nothing reaches the upstream), ok, or waits (for more)
    hits   how many requests reach the upstream of one that is ok; 1 where it is not said
    body   of each; that of GOOD where it is not said and the method is POST, PUT, PATCH or DELETE
    then   "reject": what stands behind the good request is refused
    wire   the bytes as Latin-1; or parts of them, each a text or [text, how often]

Where a body or what stands behind one could be taken for a request it is one for /smuggled: it must never arrive."""

import json
from pathlib import Path

FILE = Path(__file__).resolve().parent / "requests.jsonl"
GOOD = b'{"model":"llama3","prompt":"x","stream":false}'


class Row:
    def __init__(self, line):
        given = json.loads(line)
        self.id, self.group, self.name = given["id"], given["group"], given["name"]
        self.rfc, self.want = given["rfc"], given["want"]
        self.hits = given.get("hits", 1) if self.want == "ok" else 0
        self.then = given.get("then")
        self.wire = _bytes(given["wire"])
        self.method = self.wire.split(b" ", 1)[0].decode("latin-1")[:10]
        takes = self.method in ("POST", "PUT", "PATCH", "DELETE")
        self.body = given["body"].encode("latin-1") if "body" in given else GOOD if takes else b""

    def __repr__(self):
        return f"{self.id} {self.group}: {self.name}"

    def straight(self):
        """The same for a path whose body is streamed and not held; of the same length."""
        return self.wire.replace(b"/api/generate?", b"/api/straight?")


def _bytes(wire):
    if isinstance(wire, str):
        return wire.encode("latin-1")
    return b"".join(p.encode("latin-1") if isinstance(p, str) else p[0].encode("latin-1") * p[1] for p in wire)


def rows():
    return [Row(line) for line in FILE.read_text().splitlines() if line]
