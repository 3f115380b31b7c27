"""What the shipped binary itself does against whoever gets further than they should (reliability.md §5, 18)."""

import re
import subprocess

import pytest

from harness import BUILD, SANITIZED

pytestmark = pytest.mark.skipif(SANITIZED, reason="it is not shipped")


def readelf(*options):
    return subprocess.run(
        ["readelf", *options, BUILD / "ollama-gateway"], capture_output=True, text=True, check=True
    ).stdout


def test_it_is_position_independent_and_its_tables_are_read_only():
    dynamic = readelf("-d")
    assert re.search(r"FLAGS_1.*\bNOW\b", dynamic) and re.search(r"FLAGS_1.*\bPIE\b", dynamic), dynamic
    assert "GNU_RELRO" in readelf("-lW") and " DYN " in readelf("-h")
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic and "TEXTREL" not in dynamic


def test_its_stack_is_no_code_and_is_guarded():
    (stack,) = [line for line in readelf("-lW").splitlines() if "GNU_STACK" in line]
    assert " RW " in stack and " RWE " not in stack, stack
    symbols = readelf("-Ws")
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(memcpy|snprintf|read|vsnprintf|memmove)_chk", symbols), "nothing of it is fortified"


def test_no_segment_is_both_written_and_run():
    for line in readelf("-lW").splitlines():
        assert not re.match(r"\s+LOAD\s.*\bRWE\b", line), line
