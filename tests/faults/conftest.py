"""The fault suite stands on the live tests' fixtures: `simulate`, `serve`, `pair`, `scripted`."""

import importlib.util
import sys
from pathlib import Path

LIVE = Path(__file__).resolve().parents[1] / "live"
sys.path.insert(0, str(LIVE))
sys.path.insert(0, str(Path(__file__).resolve().parent))

_spec = importlib.util.spec_from_file_location("live_conftest", LIVE / "conftest.py")
_live = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_live)
for _name in dir(_live):
    if not _name.startswith("_"):
        globals()[_name] = getattr(_live, _name)

from shims import shim, shim_library  # noqa: E402, F401
