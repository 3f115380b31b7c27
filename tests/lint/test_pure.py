"""HOUSE law: files marked pure (`Pure.` in their head comment, or built into the library gateway_pure) include
neither Asio nor Beast, and never read a clock."""

import re

import pytest

from source_text import ROOT, closure, code_files, code_only, head_comment, includes, named

CLOCKS = ROOT / "gateway/base/clock.hpp"  # where the clocks themselves are
MARK = re.compile(r"\bPure[.:;,)]")
CARRIES_OUT = re.compile(r"^boost/(asio|beast)(/|\.hpp)")
READS_A_CLOCK = re.compile(
    r"::\s*now\s*\(|\b(clock_gettime|gettimeofday|timespec_get)\s*\(|\bstd::time\s*\(|(?<![\w:.>])time\s*\("
)


def marked(path):
    return bool(MARK.search(head_comment(path.read_text())))


def built_as_pure():
    """The sources of CMake's library gateway_pure, which needs no Asio to build."""
    text = (ROOT / "CMakeLists.txt").read_text()
    listed = re.search(r"add_library\(gateway_pure STATIC(.*?)\)", text, re.S).group(1).split()
    patterns = [name for name in listed if not name.startswith("$")]
    for globbed in re.findall(r"file\(GLOB pure_sources CONFIGURE_DEPENDS(.*?)\)", text, re.S):
        patterns += globbed.split()
    return {path for pattern in patterns for path in ROOT.glob(pattern)}


def offences(path, text):
    found = []
    for name in includes(text)[1]:
        if CARRIES_OUT.match(name):
            found.append(f"{named(path)} includes <{name}>")
    for number, line in enumerate(code_only(text).splitlines(), 1):
        if READS_A_CLOCK.search(line):
            found.append(f"{named(path)}:{number} reads a clock: {line.strip()}")
    return found


def pure_files():
    pure = built_as_pure() | {path for path in code_files("gateway", "proxy-config") if marked(path)}
    return sorted(pure | {path.with_suffix(".cpp") for path in pure if path.with_suffix(".cpp").is_file()})


def test_pure_files_neither_do_io_nor_read_a_clock():
    pure = pure_files()
    assert len(pure) > 5
    found = set()
    for path in pure:
        for part in set(closure(path)) - {CLOCKS}:
            found.update(offences(part, part.read_text()))
    assert not found, "\n" + "\n".join(sorted(found))


@pytest.mark.parametrize(
    "text, offends",
    [
        ("#include <boost/asio/steady_timer.hpp>\n", True),
        ("#include <boost/beast.hpp>\n", True),
        ("auto t = steady::now();\n", True),
        ("auto t = std::chrono::system_clock :: now ();\n", True),
        ("auto t = time(nullptr);\n", True),
        ("auto t = std::time(nullptr);\n", True),
        ("clock_gettime(CLOCK_MONOTONIC, &t);\n", True),
        ("#include <boost/system/result.hpp>\n", False),
        ("// never steady::now()\n", False),
        ('auto t = "steady::now()";\n', False),
        ("auto c = config_.now();\n", False),
        ("auto t = waited_time(call) + entry.time(x);\n", False),
    ],
)
def test_the_lint_itself(text, offends):
    assert bool(offences(ROOT / "gateway/base/x.hpp", text)) is offends
