"""Brings the clients here, at the versions that the lock files name, into build-clients/ (which git ignores): once,
until a lock file changes. What cannot be had skips the tests, or fails them when CI=1."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / "build-clients"
PATIENCE = 600  # seconds, of the slowest mirror


class Missing(Exception):
    """A tool or a package that is not to be had here."""


def needed(tool, *fallbacks):
    for name in (tool, *fallbacks):
        if found := shutil.which(name):
            return found
    raise Missing(f"{tool} is not installed")


def run(*command, **more):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE, **more)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{command[0]}: {(error.stderr or error.stdout)[-2000:]}") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took longer than {PATIENCE} s") from None


def once(name, locks, install):
    """Runs install() unless it has been run with these very files; what took how long is kept for the report."""
    digest = hashlib.sha256(b"\0".join((HERE / lock).read_bytes() for lock in locks)).hexdigest()
    stamp = PLACE / f"{name}.stamp"
    PLACE.mkdir(exist_ok=True)
    with (PLACE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test files that run side by side
        if stamp.is_file() and stamp.read_text().split()[0] == digest:
            return
        start = time.monotonic()
        install()
        stamp.write_text(f"{digest} {time.monotonic() - start:.1f} s\n")


def javascript():
    """The command that runs the JavaScript clients."""
    node, npm = needed("node"), needed("npm")
    place = PLACE / "js"
    locks = ("js/package.json", "js/package-lock.json")

    def install():
        place.mkdir(parents=True, exist_ok=True)
        for lock in locks:
            shutil.copy(HERE / lock, place)
        quiet = ("--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")
        run(npm, "ci", *quiet, cwd=place)

    once("js", locks, install)
    # Modules look for packages in the directories above their own.
    for script in (HERE / "js").glob("*.mjs"):
        shutil.copy(script, place)
    return [node, str(place / "driver.mjs")]


def python():
    """The command that runs the Python clients; its first word is their interpreter."""
    system = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else needed("python3")
    place = PLACE / "python"

    def install():
        shutil.rmtree(place, ignore_errors=True)
        run(system, "-m", "venv", str(place))
        # The lock file is complete: nothing has to be resolved, and what is fetched once is kept in pip's cache.
        pip = (str(place / "bin/pip"), "install", "--disable-pip-version-check", "--no-deps", "--no-compile")
        run(*pip, "-r", str(HERE / "python/requirements.txt"))

    once("python", ("python/requirements.txt",), install)
    return [str(place / "bin/python"), str(HERE / "python/driver.py"), "openai_uses", "frameworks"]


def newest_python():
    """The command that runs the newest openai-python, laid over the other Python clients."""
    interpreter, driver, *_ = python()
    place = PLACE / "python-newest"

    def install():
        shutil.rmtree(place, ignore_errors=True)
        pip = (interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--target", str(place))
        run(*pip, "-r", str(HERE / "python/requirements-newest.txt"))

    once("python-newest", ("python/requirements.txt", "python/requirements-newest.txt"), install)
    return ["/usr/bin/env", f"PYTHONPATH={place}", interpreter, driver, "openai_uses"]


def go():
    """The command that runs the Go clients."""
    tool = needed("go", "/usr/local/go/bin/go")
    program = PLACE / "go-driver"
    sources = [f"go/{path.name}" for path in sorted((HERE / "go").glob("*")) if path.is_file()]

    def install():
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
        run(tool, "build", "-p", "2", "-o", str(program), ".", cwd=HERE / "go", env=environment)

    once("go", sources, install)
    return [str(program)]


LANGUAGES = {"js": javascript, "python": python, "python-newest": newest_python, "go": go}
