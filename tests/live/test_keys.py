"""Keys: who may do what with which, told in whose words, and where a key never turns up (SPEC §12)."""

import json
import signal

import pytest

from access import Key
from dialects import STREAMS, call_of, error_of
from harness import Client, eventually
from scripted import KEEP, whole

MODEL = "llama3,load=0s,prompt=0s,rate=0,tokens=3"
SCOPES = ["inference", "jobs", "management", "admin"]
CREDENTIALS = ["none", "wrong", *SCOPES]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
GENERATES = [
    "/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/v1/chat/completions", "/v1/completions",
    "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/audio/transcriptions",
]  # fmt: skip
MANAGES = [
    "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/me", "/api/signout",
    "/api/blobs/sha256:" + "0" * 64, "/api/user/keys/x", "/api/experimental/web_search",
    "/api/experimental/web_fetch", "/api/experimental/model-recommendations",
]  # fmt: skip
LOOKS = ["/", "/api/version", "/api/status", "/api/tags", "/api/ps", "/api/show", "/v1/models", "/v1/models/llama3",
         "/api/not/known"]  # fmt: skip
OURS = ["/gateway/queue", "/gateway/calls/0123456789abcdef0123456789abcdef", "/gateway/jobs", "/gateway/nothing"]
CONTROLS = ["/reload", "/drain", "/status", "/metrics", "/healthz", "/calls/0123456789abcdef0123456789abcdef/cancel"]


def needed(method, path):
    """The scope a request on the public port needs; None: any key will do."""
    if path.startswith("/gateway/"):
        return "jobs" if path == "/gateway/jobs" else None
    if path in MANAGES and method != "OPTIONS":
        return "management"
    if method in ("GET", "HEAD", "OPTIONS") or (method, path) == ("POST", "/api/show"):
        return None
    return "inference"


@pytest.fixture(scope="module")
def keys():
    return {name: Key(name, name) for name in SCOPES}


def shown(keys, credential):
    if credential == "none":
        return {}
    return (Key("nobody") if credential == "wrong" else keys[credential]).bearer()


def refusal(answer):
    """The status of an answer by which the gateway refuses a key. (Ollama has a 401 of its own, of /api/me.)"""
    return answer.status if answer.get("WWW-Authenticate") else None


def with_keys(serve, simulator, keys, config=None):
    return serve(simulator, config, keys=[key.line for key in keys.values()], key=keys["inference"].text)


# --- every method, every route, every key, both ports ---


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_route_by_every_method_on_the_public_port(serve, simulate, keys, credential):
    simulator = simulate(MODEL)
    gateway = with_keys(serve, simulator, keys)
    wrong = []
    for path in GENERATES + MANAGES + LOOKS + OURS:
        for method in METHODS:
            scope = needed(method, path)
            if credential in ("none", "wrong"):
                expected = 401
            else:
                expected = 403 if scope not in (None, credential) else None
            marked = {"X-Marked": str(expected), **shown(keys, credential)}
            with gateway.client() as client:
                answer = client.request(method, path, b"{}" if method == "POST" else None, marked).finish()
                if expected and not (answer.complete and answer.get("Connection") == "close" and client.closed()):
                    wrong.append((method, path, "not closed", answer.raw))
            if refusal(answer) != expected:
                wrong.append((method, path, expected, answer.raw))
        # It remembers the last 200.
        went_up = [{name.lower(): value for name, value in r["headers"]} for r in simulator.requests()]
        assert not [r for r in went_up if r.get("x-marked") in ("401", "403")]
        assert not [r for r in went_up if "authorization" in r]
    assert not wrong, wrong[:10]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_route_by_every_method_on_the_admin_port(serve, simulate, keys, credential):
    """Through a proxy, so that nobody is here."""
    gateway = with_keys(serve, simulate(MODEL), keys)
    wrong = []
    for path in CONTROLS + OURS + GENERATES + MANAGES + LOOKS:
        for method in METHODS:
            if (method, path, credential) == ("POST", "/drain", "admin"):
                continue
            changes = method not in ("GET", "HEAD")
            refused = 401 if credential in ("none", "wrong") else 403
            expected = refused if changes and credential != "admin" else None
            headers = {"X-Forwarded-For": "192.0.2.7", **shown(keys, credential)}
            answer = gateway.admin(path, method, b"" if method == "POST" else None, headers)
            if refusal(answer) != expected:
                wrong.append((method, path, expected, answer.raw))
    assert not wrong, wrong[:10]
    assert gateway.status()["draining"] is False
    others = [path for path in GENERATES + MANAGES + LOOKS if path != "/"]  # where the dashboard is
    assert all(gateway.admin(path).status in (404, 405) for path in others)


def test_this_machine_controls_without_a_key(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    assert gateway.admin("/reload", "POST").json()["reloaded"] is True
    assert gateway.admin("/reload", "POST", headers=keys["jobs"].bearer()).status == 200


def test_a_foreign_page_controls_nothing_even_with_a_key(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    for origin, status in {"http://evil.example": 403, "http://localhost:3000": 200}.items():
        for headers in ({}, keys["admin"].bearer()):
            answer = gateway.admin("/reload", "POST", headers={"Origin": origin, **headers})
            assert answer.status == status, answer.raw


# --- in whose words ---


def test_a_refusal_is_told_in_the_words_of_each_api(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    for kind, (_, dialect) in STREAMS.items():
        for credential, status, code in (
            ("none", 401, "unauthorized"), ("wrong", 401, "unauthorized"), ("management", 403, "forbidden"),
        ):  # fmt: skip
            with gateway.client() as client:
                answer = client.request("POST", *call_of(kind), shown(keys, credential)).finish()
            assert answer.status == status and answer.complete
            error = error_of(kind, answer.json())
            assert error["code"] == code and error["message"]
            if dialect == "anthropic":
                assert error["type"] == ("authentication_error" if status == 401 else "permission_error")
            if dialect == "openai":
                assert error["type"] == "invalid_request_error"
            challenge = answer.get("WWW-Authenticate")
            assert challenge.startswith('Bearer realm="ollama-gateway"')
            assert ("invalid_token" in challenge) == (credential == "wrong")
            assert ('error="insufficient_scope", scope="inference"' in challenge) == (status == 403)
            assert answer.get("X-Request-Id")


def test_a_refused_head_request_gets_a_head_alone(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    with gateway.client() as client:
        client.request("HEAD", "/")
        answer = client.finish()
        assert answer.status == 401 and int(answer.get("Content-Length")) > 0
        assert client.closed() and answer.rest == b""


def test_a_refused_body_is_not_asked_for_and_what_follows_is_not_served(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    with gateway.client() as client:
        client.expect("POST")
        client.send(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n"
            + f"GET /api/version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {keys['jobs'].text}\r\n\r\n".encode()
        )
        answer = client.finish()
        assert answer.status == 401 and answer.interim == []
        assert client.closed() and answer.rest == b""


def test_each_request_of_a_connection_shows_its_own_key(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    with gateway.client() as client:
        for credential, status in (("jobs", 200), ("inference", 200), ("none", 401)):
            assert client.request("GET", "/api/tags", None, shown(keys, credential)).finish().status == status
        assert client.closed()


def test_a_browser_is_told_why_and_needs_no_key_to_ask_whether_it_may(serve, simulate, keys):
    gateway = with_keys(serve, simulate(MODEL), keys)
    origin = {"Origin": "http://localhost:3000"}
    with gateway.client() as client:
        asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = client.request("OPTIONS", "/api/chat", None, asked).finish()
        assert answer.status == 204 and "Authorization" in answer.get("Access-Control-Allow-Headers")
    with gateway.client() as client:
        answer = client.request("POST", *call_of("chat"), origin).finish()
        assert answer.status == 401 and answer.get("Access-Control-Allow-Origin") == origin["Origin"]
    assert gateway.post(*call_of("chat"), {**origin, **keys["inference"].bearer()}).status == 200


# --- what needs none ---


def test_what_is_exempt_is_open_and_nothing_else(serve, simulate, keys):
    config = {"auth": {"exempt": ["/", "/api/version", "/v1/models/*", "embedding"]}}
    gateway = with_keys(serve, simulate(MODEL), keys, config)

    def status(method, target, body=None, headers=()):
        with gateway.client() as client:
            return client.request(method, target, body, headers).finish().status

    assert [status("GET", path) for path in ("/", "/api/version", "/v1/models/llama3")] == [200, 200, 200]
    assert status("HEAD", "/") == 200
    assert status("GET", "/", None, Key("nobody").bearer()) == 200
    assert status("POST", "/api/embed", {"model": "llama3", "input": "x"}) == 200
    assert [status("GET", path) for path in ("/api/tags", "/v1/models", "/gateway/queue")] == [401] * 3
    assert status("POST", *call_of("chat")) == 401


def test_without_a_keys_file_any_key_will_do(serve, simulate):
    gateway = serve(simulate(MODEL))
    for headers in ({}, {"Authorization": "Bearer ollama"}, Key("nobody").bearer(), {"X-Api-Key": "x"}):
        assert gateway.post(*call_of("chat_completions"), headers).status == 200


# --- a key is a client ---


def test_two_keys_from_one_address_are_two_clients(serve, simulate):
    one, two = Key("ada"), Key("bob")
    simulator = simulate("llama3,load=0s,prompt=0s,rate=50,tokens=100000")
    gateway = serve(simulator, {"upstream": {"max_concurrent": 1}}, keys=[one.line, two.line], key=one.text)
    gateway.serves = None
    clients = [gateway.client().request("POST", *call_of("chat"), headers) for headers in (one.bearer(), one.bearer())]
    gateway.until_waiting(1)
    clients.append(gateway.client().request("POST", *call_of("messages"), two.x_api_key()))
    gateway.until_waiting(2)
    assert sorted(call["client"] for call in gateway.status()["calls"]) == ["ada", "ada", "bob"]
    for client in clients:
        client.leave("rst")
    assert eventually(lambda: len(gateway.log("call")) >= 3)
    assert {line["client"] for line in gateway.log("call") if line["endpoint"] == "/v1/messages"} == {"bob"}


def test_calls_of_a_background_key_yield(serve, simulate):
    slow, quick = Key("nightly", "background"), Key("ada")
    simulator = simulate("llama3,load=0s,prompt=0s,rate=20,tokens=10")
    config = {"upstream": {"max_concurrent": 1}}
    gateway = serve(simulator, config, keys=[slow.line, quick.line], key=quick.text)
    first = gateway.client().request("POST", *call_of("chat", prompt="first"), quick.bearer())
    gateway.until_running(1)
    behind = gateway.client().request("POST", *call_of("chat", prompt="behind"), slow.bearer())
    gateway.until_waiting(1)
    # A second client of the usual kind, so that fairness has no say in it.
    before = gateway.client().request("POST", *call_of("chat", prompt="before"), quick.bearer())
    gateway.until_waiting(2)
    assert all(client.finish().complete for client in (first, before, behind))
    asked = [json.loads(r["body"])["messages"][0]["content"] for r in simulator.requests("/api/chat")]
    assert asked == ["first", "before", "behind"]
    for client in (first, before, behind):
        client.socket.close()


# --- keys come and go ---


def test_keys_are_read_again_with_the_configuration(serve, simulate):
    old, new = Key("ada"), Key("bob")
    gateway = serve(simulate(MODEL), keys=[old.line], key=old.text)

    def status(key):
        return gateway.get("/api/tags", key.bearer()).status

    assert (status(old), status(new)) == (200, 401)
    gateway.write_keys(old.line, new.line)
    gateway.signal(signal.SIGHUP)
    assert eventually(lambda: status(new) == 200) and status(old) == 200
    gateway.write_keys(new.line)
    assert gateway.admin("/reload", "POST").json()["reloaded"] is True
    assert (status(old), status(new)) == (401, 200)
    gateway.key = new.text


@pytest.mark.parametrize("what", ["mistake", "gone", "writable", "a key"])
def test_a_bad_keys_file_changes_nothing_and_says_why(serve, simulate, what):
    key, other = Key("ada"), Key("bob")
    gateway = serve(simulate(MODEL), keys=[key.line], key=key.text)
    gateway.expected.append("configuration")
    if what == "mistake":
        gateway.write_keys(other.line, "gw_abc sha256:00 bob")
    elif what == "gone":
        gateway.keys_file.unlink()
    elif what == "writable":
        gateway.keys_file.chmod(0o666)
    else:
        gateway.write_keys(key.line, other.text)
    answer = gateway.admin("/reload", "POST")
    assert answer.status == 400 and answer.json()["reloaded"] is False
    (note,) = answer.json()["notes"]
    assert note.startswith("auth.keys_file: ") and str(gateway.keys_file) in note
    if what in ("mistake", "a key"):
        assert ":2: " in note
    assert gateway.get("/api/tags").status == 200 and gateway.get("/api/tags", other.bearer()).status == 401
    assert other.secret not in gateway.output()


# --- warnings ---


def test_the_warning_of_a_tunnel_without_keys_goes_with_keys(serve, simulate):
    key = Key("ada")
    gateway = serve(simulate(MODEL))
    gateway.get("/api/tags", {"Cf-Ray": "1"})
    assert eventually(lambda: [w for w in gateway.status()["warnings"] if "without keys" in w])
    assert eventually(lambda: [line for line in gateway.log(level="warning") if "without keys" in json.dumps(line)])
    gateway.keys_file = gateway.config_file.with_name("keys")
    gateway.write_keys(key.line)
    gateway.config_file.write_text(json.dumps({**gateway.config, "auth": {"keys_file": str(gateway.keys_file)}}))
    assert gateway.admin("/reload", "POST").status == 200
    gateway.key = key.text
    assert gateway.status()["warnings"] == []
    # Nor does it come in a gateway that had keys from the start.
    other = serve(simulate(MODEL), keys=[key.line], key=key.text)
    assert other.get("/api/tags", {"Cf-Ray": "1"}).status == 200
    assert other.status()["warnings"] == []
    assert not [line for line in other.log(level="warning")]


def test_a_keys_file_that_everybody_reads_or_that_is_empty_is_warned_about(serve, simulate):
    key = Key("ada")
    gateway = serve(simulate(MODEL), keys=[key.line], key=key.text)
    gateway.keys_file.chmod(0o644)
    assert gateway.admin("/reload", "POST").status == 200
    (warning,) = gateway.status()["warnings"]
    assert str(gateway.keys_file) in warning and "chmod 600" in warning
    gateway.keys_file.chmod(0o600)
    gateway.write_keys("# nobody")
    assert gateway.admin("/reload", "POST").status == 200
    (warning,) = gateway.status()["warnings"]
    assert "nobody may call" in warning
    assert gateway.get("/api/tags").status == 401
    gateway.write_keys(key.line)
    assert gateway.admin("/reload", "POST").status == 200 and gateway.status()["warnings"] == []


# --- where a key and a prompt never turn up ---


def test_neither_keys_nor_prompts_turn_up_anywhere(serve, simulate, scripted):
    good, bad = Key("ada"), Key("nobody")
    canary = "canary-of-the-prompt"
    upstream = scripted((whole(b'{"models":[]}'), KEEP))
    simulator = simulate(MODEL)
    for up in (simulator, upstream.url):
        gateway = serve(up, {"log": {"level": "trace"}}, keys=[good.line], key=good.text)
        gateway.serves = None
        gateway.expected.append(".*")
        both = {**good.bearer(), **bad.x_api_key()}
        for headers in (good.bearer(), good.x_api_key(), bad.bearer(), bad.x_api_key(), both):
            for kind in STREAMS:
                with gateway.client(timeout=3) as client:
                    client.request("POST", *call_of(kind, prompt=canary), headers).finish()
            for target in ("/api/tags", "/api/pull", "/gateway/queue", "/nowhere", f"/api/show?{canary}"):
                with gateway.client(timeout=3) as client:
                    client.request("GET", target, None, headers).finish()
            with Client(gateway.host, gateway.admin_port) as client:
                client.request("POST", "/nowhere", b"", {**headers, "X-Forwarded-For": "192.0.2.7"}).finish()
        seen = [gateway.output(), *(repr(gateway.admin(t).raw) for t in ("/metrics", "/status?recent_limit=100"))]
        seen.append(repr(gateway.get("/gateway/queue").raw))
        seen += [repr(gateway.get(f"/gateway/calls/{call['id']}").raw) for call in gateway.status()["recent"]]
        for text in seen:
            for secret in (good.secret, good.hash, bad.secret, canary):
                assert secret not in text, (secret, text)
        assert good.name in seen[0]
    went_up = [json.dumps(simulator.requests()), *(repr(head + body) for _, head, body, _ in upstream.calls)]
    assert len(went_up) > 10 and all(canary in text for text in (went_up[0], "".join(went_up[1:])))
    for secret in (good.secret, bad.secret, good.id):
        assert not [text for text in went_up if secret in text]


def test_a_call_is_for_the_key_it_came_with(serve, simulate):
    alice, bob, chief = Key("alice"), Key("bob"), Key("chief", "inference,admin")
    simulator = simulate("slow,load=0s,prompt=1h")
    gateway = serve(simulator, keys=[key.line for key in (alice, bob, chief)], key=alice.text)
    gateway.serves = None
    with gateway.client() as client:
        call_id = "01234567-89ab-4def-8123-456789abcdef"
        client.request("POST", *call_of("chat", "slow"), {**alice.bearer(), "X-Request-Id": call_id})
        gateway.until_running(1)
        path = f"/gateway/calls/{call_id}"
        for key, status in ((bob, 404), (alice, 200), (chief, 200)):
            assert gateway.get(path, key.bearer()).status == status
        assert gateway.get(f"{path}/events", bob.bearer()).status == 404
        assert gateway.post(f"{path}/cancel", "", bob.bearer()).status == 404
        assert gateway.get(path, alice.bearer()).json()["outcome"] is None
        assert gateway.post(f"{path}/cancel", "", alice.bearer()).status == 200
        client.finish()
    assert gateway.get(path, bob.bearer()).status == 404
    assert gateway.get(path, alice.bearer()).json()["outcome"] == "cancelled"
