"""HOUSE law: no co_await in an expression that g++ 12 miscompiles, a second time: on clang's syntax trees, which
see what text does not: types, conversions, macros."""

# ctest: timeout 900

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from source_text import ROOT, closure, code_files, named

QUERY = shutil.which("clang-query-14") or shutil.which("clang-query")
FLAGS = ["-std=c++20", f"-I{ROOT}", f"-I{ROOT}/gateway", f"-I{ROOT}/tests", "-DNDEBUG", '-DGATEWAY_VERSION="0"']
FLAGS += ["-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_BEAST_SEPARATE_COMPILATION", "-DBOOST_ASIO_NO_DEPRECATED"]

# A co_await above, in the same expression: no body of a closure in between.
UNDER = "allOf(hasAncestor(coawaitExpr()), unless(hasAncestor(compoundStmt(hasAncestor(coawaitExpr())))))"
OVER = "allOf(hasDescendant(coawaitExpr()), unless(hasDescendant(lambdaExpr())))"
MATCHERS = {
    "a conditional": f"conditionalOperator(isExpansionInMainFile(), hasType(recordDecl()), anyOf({OVER}, {UNDER}))",
    "a throw": "cxxThrowExpr(isExpansionInMainFile(), hasDescendant(coawaitExpr()))",
    "braces": f"initListExpr(isExpansionInMainFile(), hasType(recordDecl()), anyOf({OVER}, {UNDER}))",
    "a closure by value": f"lambdaExpr(isExpansionInMainFile(), {UNDER}, has(expr(ignoringImplicit(cxxConstructExpr()))))",
}


def offences(path):
    """What the matchers find in a file, or what clang says when it does not compile."""
    command = [QUERY, "-c", "set output diag"]
    for matcher in MATCHERS.values():
        command += ["-c", f"m {matcher}"]
    result = subprocess.run([*command, str(path), "--", *FLAGS], capture_output=True, text=True)
    counts = re.findall(r"^(\d+) match(?:es)?\.$", result.stdout, re.M)
    if "error:" in result.stderr or result.returncode or len(counts) != len(MATCHERS):
        return [f"{named(path)}: clang-query could not look:\n{result.stderr}{result.stdout}"]
    places = re.findall(r'^(\S+:\d+:\d+): note: "root" binds here$', result.stdout, re.M)
    kinds = [kind for kind, count in zip(MATCHERS, counts) for _ in range(int(count))]
    return [f"{place}: {kind} in an expression with co_await" for place, kind in zip(places, kinds)]


def fingerprint(path):
    digest = hashlib.sha256(repr((QUERY, FLAGS, MATCHERS)).encode())
    for part in sorted(closure(path)):
        digest.update(named(part).encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.skipif(not QUERY, reason="clang-query is not here (deploy/install-packages --tests)")
def test_no_co_await_that_the_compiler_gets_wrong():
    files = [path for path in code_files(suffixes=(".cpp",)) if "co_await" in path.read_text()]
    build = os.environ.get("GATEWAY_BUILD_DIR")
    memory = Path(build) / "awaits-that-are-sound.json" if build else None
    known = set(json.loads(memory.read_text())) if memory and memory.is_file() else set()
    prints = {path: fingerprint(path) for path in files}
    unknown = [path for path in files if prints[path] not in known]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = dict(zip(unknown, pool.map(offences, unknown)))
    if memory:
        memory.write_text(json.dumps(sorted(prints[path] for path in files if not said.get(path))))
    found = [line for lines in said.values() for line in lines]
    assert not found, "\n" + "\n".join(found)


FORMS = """#include <boost/asio/awaitable.hpp>
#include <functional>
#include <stdexcept>
#include <string>
template <class T> using awaitable = boost::asio::awaitable<T>;
struct aggregate { std::string a; };
awaitable<int> f(aggregate);
awaitable<int> g(std::function<void()>);
awaitable<std::string> h();
awaitable<void> whole(std::string s, bool c)
{
%s
}
"""


@pytest.mark.skipif(not QUERY, reason="clang-query is not here")
def test_the_lint_itself(tmp_path):
    bad = tmp_path / "bad.cpp"
    bad.write_text(
        FORMS
        % "#define SUM(x) co_await f(aggregate{x})\n"
        "    SUM(s);\n"
        "    co_await g([s] { (void)s; });\n"
        "    std::string x = c ? co_await h() : co_await h();\n"
        "    aggregate y{.a = co_await h()};\n"
        '    if (c) throw std::runtime_error("x" + co_await h());'
    )
    found = [line.split(": ", 1)[1].split(" in ")[0] for line in offences(bad)]
    assert sorted(found) == ["a closure by value", "a conditional", "a throw", "braces", "braces"]
    good = tmp_path / "good.cpp"
    good.write_text(
        FORMS
        % "    co_await g([&] { std::string q = c ? s : std::string(); (void)aggregate{q}; });\n"
        "    aggregate named{c ? s : std::string()};\n"
        "    co_await f(std::move(named));\n"
        "    auto closure = [s] { (void)s; };\n"
        "    co_await g(std::move(closure));\n"
        "    auto x = co_await h();"
    )
    assert offences(good) == []
