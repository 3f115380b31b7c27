"""House rules about files as such: short, finished, formatted, and saying what they are for."""

import re
import shutil
import subprocess

import pytest

from source_text import ROOT, code_files, head_comment, named

LONGEST = 500
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
# "service manager" is what systemd is called.
EMPTY_NAME = re.compile(r"(^|_)(utils?|(?<!service_)managers?|helpers?|misc|common)(_|$)")
WRITTEN = (".cpp", ".hpp", ".py", ".cmake", ".txt", ".md", ".json", ".jsonc", ".sh", "")
SKIPPED = re.compile(r"^(build[^/]*|\.git|\.cache|.*/__pycache__|.*/node_modules|tests/fuzz/corpus|.*/uplot)(/|$)")


def written_files():
    """What people wrote: every text file of the tree but build directories and fuzzing corpora."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        if SKIPPED.search(named(path)) or path.suffix not in WRITTEN or not path.is_file():
            continue
        found.append(path)
    return found


def unfinished(text):
    return [number for number, line in enumerate(text.splitlines(), 1) if UNFINISHED.search(line)]


def test_no_source_is_longer_than_it_may_be():
    long = {}
    for path in code_files(suffixes=(".cpp", ".hpp", ".py")):
        lines = len(path.read_text().splitlines())
        if lines > LONGEST:
            long[named(path)] = lines
    assert not long, f"over {LONGEST} lines, each perhaps two rooms in one: {long}"


def test_nothing_is_left_unfinished():
    found = [
        f"{named(path)}:{number}" for path in written_files() for number in unfinished(path.read_text(errors="replace"))
    ]
    assert not found, f"unfinished: {found}"


def test_every_source_says_what_it_is_for():
    """A .cpp may leave it to its header."""
    silent = []
    for path in code_files():
        header = path.with_suffix(".hpp")
        speaks = [head_comment(part.read_text()) for part in (path, header) if part.is_file()]
        if max(map(len, speaks)) < 20:
            silent.append(named(path))
    assert not silent, f"no head comment: {silent}"


def test_no_name_says_nothing():
    empty = [named(path) for path in code_files() if EMPTY_NAME.search(path.stem)]
    assert not empty, f"names that say nothing: {empty}"


def test_headers_are_included_once():
    open_ended = [named(path) for path in code_files(suffixes=(".hpp",)) if "#pragma once" not in path.read_text()]
    assert not open_ended, f"no #pragma once: {open_ended}"


def formatter():
    """clang-format 14, whose result the tree has; other versions format differently."""
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if re.search(r"version 14\.", version):
                return name
    return None


def test_sources_are_formatted():
    tool = formatter()
    if not tool:
        pytest.skip("clang-format 14 is not here; other versions format differently")
    files = [str(path) for path in code_files()]
    result = subprocess.run([tool, "--dry-run", *files], capture_output=True, text=True, cwd=ROOT)
    unformatted = sorted({line.split(":")[0] for line in result.stderr.splitlines() if "clang-format-violations" in line})
    assert not unformatted, "run clang-format -i on: " + " ".join(named(path) for path in unformatted)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("text, lines", [("a\n// TO" "DO: b\n", [2]), ("FIX" "ME\n", [1]), ("// what is to do\n", [])])
def test_the_lint_itself(text, lines):
    assert unfinished(text) == lines
    assert EMPTY_NAME.search("string_utils") and EMPTY_NAME.search("helper")
    assert EMPTY_NAME.search("call_manager") and not EMPTY_NAME.search("service_manager")
    assert EMPTY_NAME.search("common_words") and not EMPTY_NAME.search("uncommon")
