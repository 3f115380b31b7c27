"""shim.c built once per run, and what it is told through files."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def shim_library():
    with tempfile.TemporaryDirectory(prefix="shim-") as directory:
        library = Path(directory) / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "shim.c", "-ldl"], check=True)
        yield library


class Shim:
    """`environment` goes to the program under test; `names` and `clock` may be changed while it runs."""

    def __init__(self, library, directory):
        self._names, self._clock = Path(directory) / "names", Path(directory) / "clock"
        self.names("ok")
        self.clock(0)
        self.environment = {"LD_PRELOAD": str(library), "SHIM_NAMES": str(self._names), "SHIM_CLOCK": str(self._clock)}
        if os.environ.get("GATEWAY_SANITIZE") == "address":  # the runtime wants to be first
            options = os.environ.get("ASAN_OPTIONS", "")
            self.environment["ASAN_OPTIONS"] = f"{options}:verify_asan_link_order=0".lstrip(":")

    @staticmethod
    def _write(path, text):
        """In one step: the program may be reading it."""
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)

    def names(self, word):
        """What becomes of a lookup of upstream.internal: hang, fail or ok."""
        self._write(self._names, word)

    def clock(self, seconds):
        """How far CLOCK_REALTIME is off."""
        self._write(self._clock, str(seconds))


@pytest.fixture
def shim(shim_library, tmp_path):
    return Shim(shim_library, tmp_path)
