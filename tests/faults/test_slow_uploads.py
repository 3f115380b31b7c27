"""T-06 for bodies that are not held: they stream through to an upstream connection of their own, so a slow sender holds
two. The bounds are those of bodies that are held; only time in which the client was waited for counts."""

import signal
import time

import pytest

from harness import PATIENCE, eventually

LIMITS = {"limits": {"header_timeout": "500ms", "body_rate": "10KiB"}}
PATHS = ["/api/create", "/api/blobs/sha256:" + "0" * 64, "/api/anything"]
HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("target", PATHS)
def test_an_upload_that_drips_is_ended_and_its_upstream_connection_with_it(serve, simulate, target, chunked):
    """It was waited for without a bound."""
    simulator = simulate()
    gateway = serve(simulator, LIMITS)
    with gateway.client() as client:
        client.expect("POST")
        head = HEAD.format(target, 5000)
        client.send(head.replace("Content-Length: 5000", "Transfer-Encoding: chunked").encode() if chunked else head.encode())
        began = time.monotonic()
        client.socket.settimeout(0.2)
        while client.answer.ended is None and time.monotonic() - began < 5 * PATIENCE:
            try:
                client.send(b"1\r\n \r\n" if chunked else b" ")
            except OSError:
                pass
            try:
                client._read()
            except TimeoutError:
                pass
        assert client.answer.ended, "it is still waited for"
        assert 0.4 <= time.monotonic() - began <= 3 * PATIENCE
        assert client.answer.status == 400 and "slowly" in client.answer.json()["error"], client.answer.raw
    assert eventually(lambda: simulator.stats()["in_flight"] == 0)


def test_an_upload_as_slow_as_is_allowed_goes_through(serve, simulate):
    simulator = simulate()
    gateway = serve(simulator, LIMITS)
    body = b'{"model":"x","pad":"' + b"x" * 40000 + b'"}'
    with gateway.client() as client:
        client.expect("POST")
        client.send(HEAD.format("/api/anything", len(body)).encode())
        for n in range(0, len(body), 2000):  # some 30 KB/s: over a second in all
            client.send(body[n : n + 2000])
            time.sleep(0.06)
        assert client.finish().status == 404, client.answer.raw
    assert [r["body_size"] for r in simulator.requests("/api/anything")] == [len(body)]


def test_time_in_which_the_upstream_does_not_read_is_not_the_client_s(scripted, serve):
    """A client that is held up by back-pressure is not slow."""
    from scripted import KEEP, whole

    upstream = scripted((whole({}), KEEP))
    real = upstream._one

    def late(sock, number):
        time.sleep(2)
        return real(sock, number)

    gateway = serve(upstream.url, LIMITS)
    gateway.serves = None
    upstream._one = late
    body = b" " * (20 << 20)
    with gateway.client() as client:
        client.expect("POST")
        client.send(HEAD.format("/api/create", len(body)).encode() + body)
        assert client.finish().status == 200, client.answer.raw
    assert len(upstream.calls[-1][2]) == len(body)


@pytest.mark.parametrize("stays", [True, False])
def test_an_upload_of_which_the_upstream_takes_nothing_is_given_up(serve, simulate, stays):
    """A hung Ollama held the client's connection and its own for ever, also when the client had gone behind its bytes."""
    simulator = simulate()
    gateway = serve(simulator, {"timeouts": {"idle": f"{PATIENCE}s"}})
    simulator.signal(signal.SIGSTOP)
    client = gateway.client(timeout=20 * PATIENCE)
    client.expect("POST")
    client.send(HEAD.format("/api/create", 256 << 20).encode())
    client.socket.settimeout(0.2)
    full = 0
    while full < 2:  # nothing was taken for some time: all buffers are full
        try:
            client.socket.send(b" " * 65536)
            full = 0
        except TimeoutError:
            full += 1
        except OSError:
            break
    client.socket.settimeout(20 * PATIENCE)
    if stays:
        client.finish()
        assert client.answer.status == 504 and "timeouts.idle" in client.answer.json()["error"], client.answer.raw
    client.socket.close()
    assert eventually(lambda: not gateway.status()["calls"], within=5)
    assert gateway.status()["recent"][0]["outcome"] in ("timed_out", "client_gone")
    simulator.signal(signal.SIGCONT)
