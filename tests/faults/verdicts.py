"""What a server does with the rows of the corpus: sends each, whole or in single bytes, and says in a word what
became of it, from what the client saw and what the recording upstream behind it got."""

import concurrent.futures
import socket
import time

from raw_http import Answer
from recording import MARK

PATIENCE = 4.0  # seconds for an answer; the gateway under test gives up on a head after one
QUIET = 0.25  # nothing more is said for so long: it waits for more
LONG = 2000  # past so many bytes the middle goes in larger pieces: the ends are where it matters


def pieces_of(data):
    if len(data) <= LONG:
        return [data[n : n + 1] for n in range(len(data))]
    middle = data[LONG // 2 : -LONG // 2]
    ends = [data[: LONG // 2], data[-LONG // 2 :]]
    first, last = ([end[n : n + 1] for n in range(len(end))] for end in ends)
    return [*first, *(middle[n : n + 997] for n in range(0, len(middle), 997)), *last]


class Seen:
    """What one client saw: the answers, whether the connection was closed behind them."""

    def __init__(self):
        self.answers = []  # whole ones
        self.closed = False

    @property
    def from_upstream(self):
        return sum(a.get(MARK) is not None for a in self.answers)

    @property
    def statuses(self):
        return [a.status for a in self.answers]


def tell(port, row, wire, bytewise):
    """Sends it and reads until the connection is closed, or all that was to come has come and it is quiet."""
    seen = Seen()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces_of(wire) if bytewise else [wire]:
                sock.sendall(piece)
        except OSError:
            pass  # it has heard enough
        expected = row.hits + (1 if row.want == "reject" or row.then else 0)
        until = time.monotonic() + PATIENCE
        answer = Answer(row.method)
        while time.monotonic() < until:
            done = len(seen.answers) >= expected
            # Behind a refusal there must be a close; behind a good answer silence.
            sock.settimeout(QUIET if row.want == "waits" or (done and row.want != "reject" and not row.then) else 1.5)
            try:
                data = sock.recv(65536)
            except TimeoutError:
                break
            except OSError:
                data = b""
            if not data:
                answer.finish("eof")
                if answer.complete:
                    seen.answers.append(answer)
                seen.closed = True
                break
            try:
                answer.feed(data)
            except (ValueError, IndexError):
                break
            while answer.complete:
                seen.answers.append(answer)
                rest, answer = answer.rest, Answer(row.method)
                if rest:
                    answer.feed(rest)
    return seen


def verdict(row, seen, upstream):
    """ok, reject, or what else it was."""
    hits, smuggled = upstream.of(row.id)
    if smuggled:
        # It took what stands behind for a request itself, or it did not see that the upstream would.
        return "reads on" if len(hits) + len(smuggled) <= seen.from_upstream else "SMUGGLED"
    refused = [s for s in seen.statuses if s >= 400]
    passed = max(len(hits), seen.from_upstream)
    if passed:
        if row.want == "ok" and len(hits) != row.hits:
            return f"ok, {len(hits)} of {row.hits}"
        if row.want == "ok" and any(r[4] != row.body for r in hits if r[1] in ("POST", "PUT", "PATCH", "DELETE")):
            return "another body"
        if len(seen.statuses) < passed:
            return "passed on, no answer"
        if row.then:
            return "ok" if refused and seen.closed else "ok, and then nothing"
        return f"passed on, {refused[0]}" if refused else "ok"
    if refused:
        return "reject" if seen.closed else f"{refused[0]}, left open"
    if seen.answers:
        return f"answers {seen.statuses[0]} itself"
    return "closes" if seen.closed else "waits"


def judge(port, upstream, rows, bytewise=False, straight=False, at_once=8):
    """row → (verdict, statuses), of every row."""
    upstream.forget()
    with concurrent.futures.ThreadPoolExecutor(at_once) as crowd:
        seen = list(
            crowd.map(lambda row: tell(port, row, row.straight() if straight else row.wire, bytewise), rows)
        )
    time.sleep(0.2)  # what was let through late counts too
    return {row.id: (verdict(row, s, upstream), s.statuses) for row, s in zip(rows, seen)}
