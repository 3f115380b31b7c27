#!/usr/bin/env python3
"""Sends the corpus to the gateway, to nginx and to HAProxy, each before the same recording upstream, and writes what
they make of it to CONFORMANCE.md.

    tests/faults/conformance.py            prints the sums and every row on which somebody is not as RFC 9112 wants
    tests/faults/conformance.py --write    writes tests/faults/CONFORMANCE.md

Wanted: build/ollama-gateway (GATEWAY_BUILD_DIR says where else), nginx, HAProxy."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "live")]

import corpus  # noqa: E402
import verdicts  # noqa: E402
from harness import Gateway  # noqa: E402
from peers import Peer  # noqa: E402
from recording import Recording  # noqa: E402

TABLE = HERE / "CONFORMANCE.md"
# The upstream is never asked twice for the models, and gives up on nobody.
CONFIG = {"limits": {"header_timeout": "1s"}, "reconcile": {"interval": "1h"}, "log": {"level": "error"}}
WAYS = {  # how the gateway is asked: (byte by byte, to a path whose body is streamed)
    "whole": (False, False),
    "byte by byte": (True, False),
    "streamed, whole": (False, True),
    "streamed, byte by byte": (True, True),
}


def right(row, verdict):
    """Is that what RFC 9112 wants of the row? None where it leaves it open."""
    if verdict in ("SMUGGLED", "reads on"):
        return False
    if row.rfc == "either":
        return None
    if row.rfc == "reject":
        return verdict in ("reject", "closes")
    return verdict == "ok"


def run(rows):
    """name → row's id → verdict: the gateway in each of its ways, and the peers that are installed."""
    found, versions, missing = {}, {}, []
    upstream = Recording()
    try:
        gateway = Gateway.start(upstream.url, CONFIG, warm=False)
        try:
            versions["gateway"] = gateway.admin("/status").json()["version"]
            for way, (bytewise, straight) in WAYS.items():
                found[way] = verdicts.judge(gateway.port, upstream, rows, bytewise, straight)
            assert gateway.alive() and not gateway.findings(), gateway.tail()
        finally:
            gateway.discard()
        for name in ("nginx", "haproxy"):
            try:
                peer = Peer(name, upstream.port)
            except FileNotFoundError:
                missing.append(name)
                continue
            try:
                versions[name] = peer.version
                found[name] = verdicts.judge(peer.port, upstream, rows)
            finally:
                peer.stop()
    finally:
        upstream.stop()
    return found, versions, missing


def sums(rows, found, name):
    """As the RFC wants, of so many; where it reads on; smuggled."""
    judged = [right(row, found[name][row.id][0]) for row in rows if row.rfc != "either"]
    verdicts_of = [v for v, _ in found[name].values()]
    return sum(judged), len(judged), verdicts_of.count("reads on"), verdicts_of.count("SMUGGLED")


def shown(row, verdict, statuses):
    text = {"reject": f"{statuses[0] if statuses else ''} reject"}.get(verdict, verdict)
    return f"**{text}**" if right(row, verdict) is False else text


def printable(text):
    text = "".join(c if " " <= c < "\x7f" else f"\\x{ord(c):02x}" for c in text)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("`", "\\`")


def table(rows, found, versions):
    peers = [name for name in ("nginx", "haproxy") if name in found]
    titles = {"nginx": "nginx", "haproxy": "HAProxy"}
    out = ["# What becomes of raw requests", ""]
    out += [f"{len(rows)} requests of `requests.jsonl`, as bytes on the wire, sent to ollama-gateway {versions['gateway']}"]
    out[-1] += "".join(f", {titles[p]} {versions[p]}" for p in peers)
    out[-1] += " in one run, each before the same upstream, which records what it gets. Written by"
    out += ["`tests/faults/conformance.py --write`; the gateway's column is kept by `test_conformance.py`.", ""]
    out += ["*RFC*: what RFC 9110 and 9112 want; *either* where they leave it open. *reject* is a 4xx or 5xx, the"]
    out += ["connection closed, and nothing at the upstream; *closes* is that without an answer; *reads on*: what stood"]
    out += ["behind a broken message was taken for a request; *smuggled*: it was one for the upstream and not for the proxy."]
    out += ["In bold what is not as the RFC wants. The gateway is stricter than the RFC in places, on purpose: what it cannot be sure of it does not"]
    out += ["pass on. Its verdicts are the same whole and byte by byte, for bodies that are held and for those that are"]
    out += ["streamed. The absolute form, which only clients of a proxy send, is refused though a server should take it."]
    out += ["nginx and HAProxy run as in `bench/compare.d`, without options that would make them stricter.", ""]
    out += ["| | as the RFC wants | reads on | smuggled |", "|---|---|---|---|"]
    for name in ["whole", *peers]:
        good, of, on, smuggled = sums(rows, found, name)
        out.append(f"| {titles.get(name, 'gateway')} | {good} of {of} | {on} | {smuggled} |")
    out += ["", f"| | request | RFC | gateway | {' | '.join(titles[p] for p in peers)} |", "|---" * (4 + len(peers)) + "|"]
    for row in rows:
        cells = [shown(row, *found[name][row.id]) for name in ["whole", *peers]]
        out.append(f"| {row.id} | {row.group}: {printable(row.name)} | {row.rfc} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def main():
    wishes = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wishes.add_argument("--write", action="store_true")
    wishes = wishes.parse_args()
    rows = corpus.rows()
    found, versions, missing = run(rows)
    for name in missing:
        print(f"{name} is not installed")
    for row in rows:
        ours = {way: found[way][row.id][0] for way in WAYS}
        theirs = {name: found[name][row.id][0] for name in ("nginx", "haproxy") if name in found}
        if set(ours.values()) != {row.want}:
            print(f"{row!r}: wanted {row.want}: {ours}")
        elif any(right(row, v) is False for v in theirs.values()):
            print(f"{row!r}: {row.rfc}: {theirs}")
    for name in found:
        print("{:24} {} of {} as the RFC wants, reads on in {}, {} smuggled".format(name, *sums(rows, found, name)))
    if wishes.write:
        if missing:
            sys.exit("the table has both peers or is not written")
        TABLE.write_text(table(rows, found, versions))


if __name__ == "__main__":
    main()
