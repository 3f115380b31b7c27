"""https:// upstreams: the certificate is checked, streams and aborts work as without it, and a certificate nobody
vouches for is a clear error."""

import http.client
import json
import shutil
import ssl
import subprocess
import time

import pytest

from dialects import ONE_OF_EACH, STREAMS, call_of, error_in, error_of, looks_complete
from harness import Simulator, eventually
from scripted import STALL

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")

MODEL = "llama3,load=0s,prompt=0s,rate=100,tokens=20"


def certificate(where, names):
    """A self-signed certificate and its key, made for this test."""
    key, cert = where / "key.pem", where / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=ollama-sim", "-addext", f"subjectAltName={names}"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


class TlsSimulator(Simulator):
    """A Simulator that speaks https; its control endpoint too."""

    cert = None

    @property
    def https(self):
        return f"https://127.0.0.1:{self.port}"

    def control(self, method, target, body=None):
        context = ssl.create_default_context(cafile=self.cert)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        try:
            connection.request(method, target, json.dumps(body if body is not None else {}))
            answer = connection.getresponse()
            assert answer.status == 200
            return json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1,DNS:localhost")


@pytest.fixture
def secure(files):
    """A simulator with that certificate."""
    cert, key = files
    simulator = TlsSimulator.start(MODEL, flags=["--tls-cert", cert, "--tls-key", key], there=False)
    simulator.cert = cert
    yield simulator
    simulator.stop()
    found = simulator.findings()
    simulator.discard()
    assert not found, found


@pytest.fixture
def trusting(secure, serve, files):
    """A gateway that trusts it."""

    def start(config=None, host="127.0.0.1"):
        gateway = serve(f"https://{host}:{secure.port}", config, environment={"SSL_CERT_FILE": str(files[0])})
        gateway.serves = ("POST", *call_of("generate", stream=False))
        return gateway

    return start


def works(gateway):
    answer = gateway.call(*gateway.serves)
    assert answer.status == 200 and answer.complete, answer.raw


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_streams_and_whole_answers_come_through_https(trusting, secure, host):
    gateway = trusting(host=host)
    for kind in STREAMS:
        answer = gateway.post(*call_of(kind))
        assert answer.status == 200 and answer.complete and looks_complete(kind, answer)
        if dialect_pieces := len(answer.pieces):
            assert dialect_pieces >= 10  # as they came, not gathered
        whole = gateway.post(*call_of(kind, stream=False))
        assert whole.status == 200 and whole.complete and whole.json()
    assert gateway.get("/api/tags").json()["models"]
    opened = secure.stats()["connections"]["accepted"]
    for _ in range(5):
        works(gateway)
    asked = 1 + 3  # this question itself, and what the gateway asks for itself meanwhile
    assert secure.stats()["connections"]["accepted"] - opened <= asked, "a handshake for each call"


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
def test_a_client_that_leaves_ends_its_call_behind_https_too(trusting, secure, how):
    gateway = trusting()
    delays = []
    for turn in range(5):
        client = gateway.client().request("POST", *call_of("generate", options={"num_predict": 100000}))
        assert client.piece()
        left = client.leave(how) * 1000
        assert eventually(lambda: secure.stats()["aborts"]["count"] == turn + 1), secure.stats()
        delays.append(secure.stats()["aborts"]["list"][-1]["at_ms"] - left)
        client.socket.close()
        gateway.until_running(0)
    assert sorted(delays)[2] <= 100, delays
    works(gateway)


def test_a_big_upload_goes_through_https(trusting, secure):
    gateway = trusting()
    answer = gateway.post("/api/blobs/sha256:" + "0" * 64, b"x" * (20 << 20))
    assert answer.status == 400 and "digest mismatch" in answer.json()["error"]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("fault, status", [("reset_mid", 502), ("early_end", 502), ("silent_mid", 504)])
def test_faults_behind_https_are_told_as_others_are(trusting, secure, kind, fault, status):
    gateway = trusting({"timeouts": {"first_byte": "400ms", "idle": "400ms"}})
    secure.fault(fault, count=1)
    answer = gateway.post(*call_of(kind))
    assert not answer.complete and not looks_complete(kind, answer)
    assert error_in(kind, answer)["http_status"] == status
    if status == 504:
        assert eventually(lambda: gateway.status()["unloads"] and gateway.status()["unloads"][0]["result"] == "gone")
    works(gateway)


def refused(gateway, kind):
    began = time.monotonic()
    answer = gateway.post(*call_of(kind))
    assert answer.status in (502, 503), answer.raw
    error = error_of(kind, answer.json())
    assert error["code"] in ("no_upstream", "upstream_failed") and "certificate" in error["message"], error
    assert time.monotonic() - began < 2


def test_a_certificate_nobody_vouches_for_is_refused(secure, serve):
    gateway = serve(secure.https, {"queue": {"hold_upstream": "0s"}}, warm=False)
    for kind in ONE_OF_EACH:
        refused(gateway, kind)
    assert gateway.get("/api/tags").status == 503
    assert gateway.admin("/readyz").status == 503
    assert "certificate" in gateway.status()["upstreams"][0]["why"]
    assert secure.stats()["requests"] <= 1  # nothing was sent before it was checked
    assert gateway.pooled() == 0


def test_a_certificate_for_another_name_is_refused(serve, tmp_path):
    cert, key = certificate(tmp_path, "DNS:other.example")
    simulator = Simulator.start(MODEL, flags=["--tls-cert", cert, "--tls-key", key], there=False)
    try:
        for host in ("127.0.0.1", "localhost"):
            gateway = serve(
                f"https://{host}:{simulator.port}",
                {"queue": {"hold_upstream": "0s"}},
                environment={"SSL_CERT_FILE": str(cert)},
                warm=False,
            )
            refused(gateway, "generate")
    finally:
        simulator.discard()


def test_an_upstream_that_speaks_no_tls_is_refused(serve, simulate):
    simulator = simulate(MODEL)
    gateway = serve(f"https://127.0.0.1:{simulator.port}", {"queue": {"hold_upstream": "0s"}}, warm=False)
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 503 and answer.json()["code"] == "no_upstream"
    assert not simulator.requests("/api/generate")


def test_a_client_that_leaves_during_the_handshake_ends_it(scripted, serve):
    upstream = scripted((b"", STALL))  # reads a ClientHello as the beginning of a head, and waits
    config = {"timeouts": {"connect": "30s"}, "reconcile": {"timeout": "30s"}}
    gateway = serve(f"https://127.0.0.1:{upstream.port}", config, warm=False)
    own = gateway.pooled()  # its own questions hang in the same way
    client = gateway.client().request("GET", "/api/show")
    assert eventually(lambda: gateway.pooled() == own + 1)
    client.leave("rst")
    assert eventually(lambda: gateway.pooled() == own, within=0.5)


def test_a_handshake_that_hangs_is_bounded_by_connect(scripted, serve):
    upstream = scripted((b"", STALL))
    config = {"queue": {"hold_upstream": "0s"}, "timeouts": {"connect": "500ms"}}
    gateway = serve(f"https://127.0.0.1:{upstream.port}", config, warm=False)
    gateway.base += 2
    began = time.monotonic()
    answer = gateway.post(*call_of("generate"))
    assert answer.status == 503 and time.monotonic() - began < 2, answer.raw
