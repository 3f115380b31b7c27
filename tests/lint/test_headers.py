"""HOUSE law: headers compile alone. The .cpp of a header includes it first, which proves it in every build; a
header without one is compiled here."""

# ctest: timeout 900

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

from source_text import ROOT, closure, code_files, includes, named, resolve

COMPILER = os.environ.get("CXX", "g++").split()
FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
FLAGS += ["-Wno-mismatched-new-delete", "-Wno-pragma-once-outside-header", "-Wno-unknown-warning-option"]
FLAGS += ["-DNDEBUG", "-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_BEAST_SEPARATE_COMPILATION"]
FLAGS += ["-DBOOST_ASIO_NO_DEPRECATED", '-DGATEWAY_VERSION="0"']
FLAGS += [f"-I{ROOT}", f"-I{ROOT}/gateway", f"-I{ROOT}/tests"]


def compile_alone(path):
    """What the compiler says of a file that includes nothing but this header, twice; empty when all is well."""
    source = f'#include "{path}"\n#include "{path}"\n'
    result = subprocess.run([*COMPILER, *FLAGS, "-x", "c++", "-"], input=source, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stderr or f"exit code {result.returncode}"


def fingerprint(path, compiler):
    """Changes when the header, anything of ours that it includes, the flags or the compiler do."""
    digest = hashlib.sha256(repr((compiler, FLAGS)).encode())
    for part in sorted(closure(path)):
        digest.update(named(part).encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


def own_header_comes_first(path):
    """Is this .cpp's first include its own header?"""
    quoted, _ = includes(path.read_text())
    first = re.search(r'^[ \t]*#[ \t]*include[ \t]*(\S+)', path.read_text(), re.M).group(1)
    return first == f'"{quoted[0]}"' and resolve(quoted[0], path) == path.with_suffix(".hpp")


def test_a_source_includes_its_own_header_first():
    sources = [path for path in code_files("gateway", "proxy-config", "bench", suffixes=(".cpp",))]
    late = [named(p) for p in sources if p.with_suffix(".hpp").is_file() and not own_header_comes_first(p)]
    assert not late, f"their own header is not their first include: {late}"


def test_headers_compile_alone():
    compiler = subprocess.run([*COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    headers = code_files("gateway", "proxy-config", "bench", suffixes=(".hpp",))
    headers = [path for path in headers if not path.with_suffix(".cpp").is_file()]
    assert headers
    build = os.environ.get("GATEWAY_BUILD_DIR")
    memory = Path(build) / "headers-that-compile.json" if build else None
    known = set(json.loads(memory.read_text())) if memory and memory.is_file() else set()
    prints = {path: fingerprint(path, compiler) for path in headers}
    unknown = [path for path in headers if prints[path] not in known]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = dict(zip(unknown, pool.map(compile_alone, unknown)))
    if memory:
        good = [prints[path] for path in headers if not said.get(path)]
        memory.write_text(json.dumps(sorted(good)))
    bad = {named(path): text for path, text in said.items() if text}
    assert not bad, "\n" + "\n".join(f"--- {name}\n{text}" for name, text in bad.items())


def test_the_lint_itself(tmp_path):
    whole = tmp_path / "whole.hpp"
    whole.write_text("#pragma once\n#include <string>\ninline std::string name() { return {}; }\n")
    leaning = tmp_path / "leaning.hpp"
    leaning.write_text("#pragma once\ninline std::string name() { return {}; }\n")
    source = tmp_path / "whole.cpp"
    source.write_text("#include <string>\n#include \"whole.hpp\"\n")
    assert not own_header_comes_first(source)
    assert compile_alone(whole) == ""
    assert "string" in compile_alone(leaning)
