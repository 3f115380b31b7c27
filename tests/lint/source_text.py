"""The project's sources as the lints read them: which files there are, and their code without comments,
literals and preprocessor lines."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE_DIRECTORIES = ("gateway", "proxy-config", "bench", "tests")


def code_files(*directories, suffixes=(".cpp", ".hpp")):
    """All C++ files under the given directories of the project, sorted."""
    found = []
    for directory in directories or CODE_DIRECTORIES:
        for path in (ROOT / directory).rglob("*"):
            if path.suffix in suffixes and path.is_file():
                found.append(path)
    return sorted(found)


def named(path):
    """The path as it is written in messages: from the project's root."""
    path = Path(path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def head_comment(text):
    """The `//` lines at the top of a file, joined."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        lines.append(line[2:].strip())
    return " ".join(lines)


_LITERAL_OR_COMMENT = re.compile(
    r'''
      //[^\n]*
    | /\*.*?\*/
    | (?:u8|u|U|L)?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"
    | (?:u8|u|U|L)?"(?:\\.|[^"\\\n])*"
    | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'
    ''',
    re.S | re.X,
)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)


def _blank(match):
    text = match.group(0)
    newlines = "\n" * text.count("\n")
    if text.startswith(("//", "/*")):
        return newlines or " "
    return ('""' if text.rstrip().endswith('"') else "0") + newlines


def code_only(text):
    """`text` with comments blanked, literals emptied and preprocessor lines gone; lines keep their numbers."""
    text = _LITERAL_OR_COMMENT.sub(_blank, text)
    return _PREPROCESSOR.sub(lambda m: "\n" * m.group(0).count("\n"), text)


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)


def includes(text):
    """(quoted, angled): the names that the file includes."""
    quoted, angled = [], []
    for match in _INCLUDE.finditer(text):
        if match.group(1):
            quoted.append(match.group(1))
        else:
            angled.append(match.group(2))
    return quoted, angled


def resolve(name, including):
    """The project's file that `#include "name"` in `including` means, or None."""
    for base in (Path(including).parent, ROOT / "gateway", ROOT, ROOT / "tests"):
        candidate = (base / name).resolve()
        if candidate.is_file() and candidate.is_relative_to(ROOT):
            return candidate
    return None


def closure(path, seen=None):
    """The file and every file of the project that it includes, directly or not."""
    seen = set() if seen is None else seen
    path = Path(path)
    if path in seen:
        return seen
    seen.add(path)
    for name in includes(path.read_text())[0]:
        target = resolve(name, path)
        if target:
            closure(target, seen)
    return seen
