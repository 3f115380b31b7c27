"""T-01, T-02: raw requests of our own against the live gateway, whole and byte by byte, with an upstream that records
every byte behind it. None is smuggled, none answered wrongly."""

# ctest: timeout 600

import re

import pytest

import corpus
import verdicts
from conformance import CONFIG, TABLE, WAYS
from recording import Recording

ROWS = corpus.rows()


@pytest.fixture
def recorded():
    upstream = Recording()
    yield upstream
    upstream.stop()


def test_the_corpus_is_as_it_should_be():
    assert len(ROWS) >= 150 and len({row.id for row in ROWS}) == len(ROWS) == len({row.wire for row in ROWS})
    assert {row.rfc for row in ROWS} == {"reject", "ok", "either"}
    for row in ROWS:
        assert row.want in ("reject", "ok", "waits"), row
        assert row.rfc != "reject" or row.want == "reject", row
        assert row.want == "reject" or b"c=" + row.id.encode() in row.wire, row


@pytest.mark.parametrize("way", WAYS)
def test_no_request_is_smuggled_and_none_answered_wrongly(recorded, serve, way):
    gateway = serve(recorded.url, CONFIG)
    gateway.serves = None
    bytewise, straight = WAYS[way]
    found = verdicts.judge(gateway.port, recorded, ROWS, bytewise, straight)
    wrong = {repr(row): (row.want, *found[row.id]) for row in ROWS if found[row.id][0] != row.want}
    assert not wrong
    strays = [r for r in recorded.requests if r[0] is None and r[2] not in ("/api/generate", "/api/show")]
    assert not strays and not recorded.rubbish, (strays, recorded.rubbish)
    # What a trailer said has not become a field, nor what a Connection named another's body.
    for owner, *_, fields, _body in recorded.requests:
        names = [name.lower() for name, _ in fields]
        assert b"authorization" not in names and b"upgrade" not in names and names.count(b"host") == 1, (owner, fields)


@pytest.mark.parametrize("number", ["0056", "0059", "0110", "0115"])
def test_two_segments_cut_anywhere_are_one_request(recorded, serve, number):
    (row,) = [row for row in ROWS if row.id == number]
    gateway = serve(recorded.url, CONFIG)
    gateway.serves = None
    for cut in range(1, len(row.wire)):
        with gateway.client() as client:
            client.expect(row.method)
            client.send(row.wire[:cut])
            client.send(row.wire[cut:])
            assert client.finish().status == 200, (cut, client.answer.raw)
    assert len(recorded.of(number)[0]) == len(row.wire) - 1
    assert all(request[4] == row.body for request in recorded.of(number)[0])


def test_the_table_in_the_documentation_is_of_this_corpus_and_of_this_gateway():
    lines = TABLE.read_text().splitlines()
    told = {m.group(1): m.group(2).replace("*", "") for line in lines if (m := re.match(r"\| (\d{4}) \|.*?\|[^|]*\| ([^|]*) \|[^|]*\|[^|]*\|$", line))}
    assert set(told) == {row.id for row in ROWS}, "run tests/faults/conformance.py --write"
    for row in ROWS:
        assert told[row.id].endswith(row.want), f"{row!r}: {told[row.id]}, wanted {row.want}"
