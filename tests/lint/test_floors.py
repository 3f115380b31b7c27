"""HOUSE law: a room includes only from lower floors, and rooms of one floor are strangers."""

import pytest

from source_text import ROOT, code_files, includes, named, resolve

# From the ground up. Rooms of one line do not know each other.
FLOORS = [
    ["base"],
    ["proxy-config"],
    ["wire", "call", "async"],
    ["admission", "upstream", "stream", "telemetry"],
    ["models", "downstream", "jobs"],
    ["exchange"],
    ["admin", "top", "advice"],
    ["the whole"],  # main.cpp and gateway.*: the only files that know everybody
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# (from, to): the reason. What stands here and is not used fails too.
EXCEPTIONS = {
    ("call", "async"): "sink and service are interfaces of coroutines: awaitable and the stop word are their nouns",
}

# The simulator is a stand-in for Ollama, not for us: what it shared with the gateway it could not test.
SIMULATOR_MAY_USE = {"base", "wire", "async"}


def room_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "gateway":
        return parts[1] if len(parts) > 2 else "the whole"
    return parts[0]


def offences(path, text, used=None):
    """Sentences, one for each include of `path` that the law forbids."""
    found = []
    here = room_of(path)
    for name in includes(text)[0]:
        target = resolve(name, path)
        if target is None:
            found.append(f'{named(path)}: "{name}" is no file of the project')
            continue
        there = room_of(target)
        if here == there:
            continue
        if here in LEVEL and there in LEVEL:
            if LEVEL[there] < LEVEL[here]:
                continue
            if (here, there) in EXCEPTIONS:
                if used is not None:
                    used.add((here, there))
                continue
            why = "strangers on one floor" if LEVEL[there] == LEVEL[here] else "a higher floor"
            found.append(f'{named(path)}: {here} includes "{name}" of {there}: {why}')
        elif here == "bench":
            if there not in SIMULATOR_MAY_USE:
                found.append(f'{named(path)}: the simulator includes "{name}" of the gateway\'s {there}')
        elif here in LEVEL:
            found.append(f'{named(path)}: {here} includes "{name}" of {there}, which is no room of the gateway')
    return found


def test_every_room_has_its_floor():
    rooms = {room_of(path) for path in code_files("gateway", "proxy-config")}
    assert rooms <= set(LEVEL), f"rooms without a floor: {sorted(rooms - set(LEVEL))}"
    assert len(rooms) > 3


def test_rooms_include_only_from_lower_floors():
    used = set()
    found = []
    for path in code_files("gateway", "proxy-config", "bench"):
        found += offences(path, path.read_text(), used)
    assert not found, "\n" + "\n".join(found)
    stale = set(EXCEPTIONS) - used
    assert not stale, f"exceptions that nothing needs: {sorted(stale)}"
    assert all(EXCEPTIONS.values()), "an exception without a reason"


@pytest.mark.parametrize(
    "path, line, offends",
    [
        ("gateway/base/x.cpp", '#include "call/fault.hpp"', True),
        ("gateway/call/x.cpp", '#include "wire/body_decoder.hpp"', True),
        ("gateway/admission/x.cpp", '  #  include "stream/frames.hpp"', True),
        ("gateway/downstream/x.cpp", '#include "models/silence.hpp"', True),
        ("proxy-config/x.cpp", '#include "call/fault.hpp"', True),
        ("gateway/base/x.cpp", '#include "proxy-config/config.hpp"', True),
        ("gateway/base/x.cpp", '#include "catch.hpp"', True),
        ("gateway/base/x.cpp", '#include "no_such_file.hpp"', True),
        ("bench/sim/x.cpp", '#include "stream/frames.hpp"', True),
        ("gateway/downstream/x.cpp", '#include "stream/frames.hpp"', False),
        ("gateway/call/x.cpp", '#include "proxy-config/config.hpp"', False),
        ("gateway/call/x.cpp", '#include "call/fault.hpp"', False),
        ("gateway/gateway.cpp", '#include "models/silence.hpp"', False),
        ("gateway/base/x.cpp", "#include <boost/asio.hpp>", False),
    ],
)
def test_the_lint_itself(path, line, offends):
    assert bool(offences(ROOT / path, line + "\n")) is offends
