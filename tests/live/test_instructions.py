"""What a call and a chunk cost, counted and not timed: a slower commit is seen however busy the machine is."""

# ctest: busy

import os
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT, SANITIZED


@pytest.mark.skipif(
    SANITIZED or "clang" in os.environ.get("CXX", ""), reason="the budget is of g++, and without sanitizers"
)
@pytest.mark.skipif(shutil.which("valgrind") is None and not os.environ.get("CI"), reason="without valgrind")
def test_a_short_call_and_a_relayed_chunk_cost_no_more_instructions_than_their_budget():
    environment = {**os.environ, "GATEWAY_BUILD_DIR": str(BUILD)}
    done = subprocess.run([ROOT / "bench" / "instructions"], env=environment, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
