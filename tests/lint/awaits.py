"""Finds the `co_await` statements that break the one law of coroutines here.

g++ 12 destroys some temporaries twice, or too early, when the expression that they are in contains a
`co_await`: aggregates and braced lists, closures that capture by value, operands of `?:` and of `throw`.
So: one `co_await` per statement, alone, right of `=` or after `co_return`; its arguments are names, moves of
names, or calls. In a condition it may also follow `!`, `&&` or `||`, which was measured to be sound.

This reads text, not syntax trees: it needs no compiler, sees every branch of the preprocessor, and errs on
the side of the law. test_awaits.py holds it against forms that are known good and known bad.

Two more places make such temporaries where no brace is seen at the `co_await`: an aggregate as braced default
argument of a coroutine, and `name(x)` where name is an aggregate (C++20 lets parentheses fill one)."""

import re
from collections import namedtuple

from source_text import code_only

token = namedtuple("token", "text line")

_TOKEN = re.compile(r'[A-Za-z_]\w*|\d[\w.\']*|""|->\*?|::|<<=?|&&|\|\||[-+*/%&|^!=<>]=|\S')
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {closing: opening for opening, closing in _OPEN.items()}
_HEADS = {"if", "while", "switch", "for"}


def tokens_of(text):
    found = []
    line = 1
    position = 0
    code = code_only(text)
    for match in _TOKEN.finditer(code):
        line += code.count("\n", position, match.start())
        position = match.start()
        found.append(token(match.group(0), line))
    return found


def _partners(tokens):
    """index of each bracket → index of its other half."""
    partner = {}
    stack = []
    for index, (text, _) in enumerate(tokens):
        if text in _OPEN:
            stack.append(index)
        elif text in _CLOSE and stack and tokens[stack[-1]].text == _CLOSE[text]:
            partner[index] = stack.pop()
            partner[partner[index]] = index
    return partner


class _source:
    def __init__(self, text):
        self.tokens = tokens_of(text)
        self.partner = _partners(self.tokens)
        self.lambdas = {}  # index of a lambda body's `{` → index of its `[`
        for index, (text, _) in enumerate(self.tokens):
            if text == "[" and self._begins_lambda(index):
                body = self._lambda_body(index)
                if body is not None:
                    self.lambdas[body] = index

    def text(self, index):
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def _begins_lambda(self, index):
        before = self.text(index - 1)
        if before == "[" or self.text(index + 1) == "[":  # [[attribute]]
            return False
        end = self.partner.get(index)
        if end is None:
            return False
        word = before if before not in ("&", "&&") else self.text(index - 2)
        if word == "auto":  # auto [a, b]
            return False
        if re.fullmatch(r"\w+", before) or before in (")", "]", '""', "}"):
            return before in ("return", "co_return", "co_await", "co_yield", "throw", "case") or (
                before in (")", "}") and self.text(end + 1) == "("
            )
        return True

    def _lambda_body(self, index):
        """The `{` of the lambda that begins at `[`: after (…), specifiers and a trailing type."""
        at = self.partner[index] + 1
        steps = 0
        while steps < 60 and at < len(self.tokens):
            text = self.text(at)
            if text == "{":
                return at
            if text in (";", ")", "}", "]", ",", "="):
                return None
            at = self.partner.get(at, at) + 1 if text in ("(", "[") else at + 1
            steps += 1
        return None

    def is_block(self, index):
        """Is this `{` a block of statements or members, rather than a braced initialiser?"""
        if index in self.lambdas:
            return True
        before = self.text(index - 1)
        if before in ("", ";", "{", "}", "else", "do", "try", ":", "const", "noexcept", "override", "final", "mutable"):
            return True
        if before == ")":
            opening = self.partner.get(index - 1)
            # `f(x) {` is a function's or a statement's body; an initialiser never follows `)`.
            return opening is not None
        # `-> type {`, `class x : y {`, `namespace n {`, `enum e : t {`: look back over a name.
        at = index - 1
        while at >= 0 and (re.fullmatch(r"\w+|::|<|>|,|&|\*|&&", self.text(at)) or self.text(at) == ":"):
            if self.text(at) in ("namespace", "class", "struct", "union", "enum"):
                return True
            at -= 1
        return self.text(at) == "->"

    def is_label(self, colon):
        """Does this `:` end `case x:` or `default:`?"""
        at = colon - 1
        while re.fullmatch(r"\w+|::|0", self.text(at)):
            if self.text(at) in ("case", "default"):
                return True
            at -= 1
        return False

    def captures(self, index):
        """The captures of the lambda whose `[` this is, split at commas."""
        parts, depth, part = [], 0, []
        for at in range(index + 1, self.partner[index]):
            text = self.text(at)
            depth += (text in _OPEN) - (text in _CLOSE)
            if text == "," and depth == 0:
                parts.append(part)
                part = []
            else:
                part.append(text)
        return [p for p in parts + [part] if p]


def _by_value(capture):
    """`[x]`, `[=]`, `[x = …]`, `[*this]`; `[&]`, `[&x]` and `[this]` hold no object of their own."""
    return capture[0] != "&" and capture != ["this"]


def _extent(source, await_at):
    """[first, last) of the full expression around a co_await, and whether it is the head of a statement
    (if, while, switch, for)."""
    left = await_at
    while left > 0:
        text = source.text(left - 1)
        if text in (";", ""):
            break
        if text == "{" and source.is_block(left - 1):
            break
        if text == "(" and source.text(left - 2) in _HEADS | {"constexpr"}:
            break
        if text == ")":
            opening = source.partner.get(left - 1)
            if opening is not None and source.text(opening - 1) in _HEADS:
                break  # `if (…) co_await …;`
            left = opening if opening is not None else left - 1
            continue
        if text == "}":
            opening = source.partner.get(left - 1)
            if opening is None or (source.is_block(opening) and opening not in source.lambdas):
                break
            if opening in source.lambdas:
                left = source.lambdas[opening]
            else:
                left = opening
            continue
        if text == "]":
            left = source.partner.get(left - 1, left - 1)
            continue
        if text in ("else", "do") or (text == ":" and source.is_label(left - 1)):
            break
        left -= 1
    head = source.text(left - 1) == "("
    right = await_at
    end = len(source.tokens)
    while right < end:
        text = source.text(right)
        if text == ";":
            break
        if text in _OPEN:
            right = source.partner.get(right, end) + 1
            continue
        if text in _CLOSE:
            opening = source.partner.get(right)
            if opening is None or opening < left:
                break
            if text == "}" and source.is_block(opening):
                break
        right += 1
    return left, right, head


_MAY_PRECEDE = {"=", "co_return"}
_MAY_PRECEDE_IN_HEAD = _MAY_PRECEDE | {"!", "&&", "||", "(", ":"}


def offences(text, aggregates=frozenset()):
    """[(line, what is wrong)] for each co_await of a source that breaks the law. `aggregates`: names of types
    without constructors, wherever they are defined."""
    source = _source(text)
    known = set(aggregates) | aggregates_of(text)
    found = []
    for index, (word, line) in enumerate(source.tokens):
        if word == "co_await":
            found += [(line, what) for what in _wrong_with(source, index, known)]
    found += _dangling(source)
    found += _braced_defaults(source, known)
    return sorted(set(found))


def aggregates_of(text):
    """Names of the structs of a source that declare no constructor."""
    source = _source(text)
    found = set()
    for index, (word, _) in enumerate(source.tokens):
        name = source.text(index + 1)
        if word != "struct" or not re.fullmatch(r"[A-Za-z_]\w*", name):
            continue
        body = index + 2
        while source.text(body) not in ("{", ";", "(", ")", "=", ""):
            body += 1
        end = source.partner.get(body) if source.text(body) == "{" else None
        if end and not any(source.text(at) == name and source.text(at + 1) == "(" for at in range(body, end)):
            found.add(name)
    return found


def _braced_defaults(source, aggregates):
    for index, (word, line) in enumerate(source.tokens):
        if word != "awaitable" or source.text(index + 1) != "<":
            continue
        at, depth = index + 1, 0
        while source.text(at):
            depth += source.text(at).count("<") - (source.text(at) == ">") - 2 * (source.text(at) == ">>")
            at += 1
            if depth <= 0:
                break
        while re.fullmatch(r"[A-Za-z_]\w*|::", source.text(at)):
            at += 1
        end = source.partner.get(at) if source.text(at) == "(" else None
        parameter = set()
        for k in range(at + 1, end or at):
            parameter.add(source.text(k))
            if source.text(k) == "{" and parameter & aggregates:
                yield line, "a braced aggregate as default argument of a coroutine: it is made in the co_await"
            if source.text(k) == ",":
                parameter = set()


def _wrong_with(source, index, aggregates):
    left, right, head = _extent(source, index)
    before = source.text(index - 1)
    if index != left and before not in (_MAY_PRECEDE_IN_HEAD if head else _MAY_PRECEDE):
        if not (before == ")" and [source.text(index - n) for n in (2, 3)] == ["void", "("]):
            yield f"co_await after `{before}`: not alone, not right of `=`, not after co_return"
    at = left
    while at < right:
        text = source.text(at)
        if at in source.lambdas:  # its body has statements of its own
            if any(_by_value(capture) for capture in source.captures(source.lambdas[at])):
                yield "a closure that captures by value in the expression"
            inside = at < index < source.partner[at]
            at = at + 1 if inside else source.partner[at] + 1
            continue
        if text == "?":
            yield "a conditional in the expression"
        elif text == "throw":
            yield "a throw in the expression"
        elif text == "{":
            yield "braces in the expression"
        elif (
            text in aggregates
            and source.text(at - 1) not in (".", "->")
            and source.text(at + 1) == "("
            and source.text(at + 2) != ")"
        ):
            yield f"{text}(…) fills an aggregate in the expression"
        elif text == "co_await" and at > index:
            yield "a second co_await in the expression"
        at += 1


def _dangling(source):
    """`[x]() -> awaitable<T> {…}()` outside a co_await: the coroutine outlives its closure."""
    for body, opening in source.lambdas.items():
        end = source.partner.get(body)
        if end is None or source.text(end + 1) != "(" or not source.captures(opening):
            continue
        inside = {source.text(at) for at in range(body, end)}
        if not inside & {"co_await", "co_return"}:
            continue
        left, right, _ = _extent(source, opening)
        before = [source.text(at) for at in range(left, opening)]
        if "co_await" not in before:
            yield source.tokens[opening].line, "a coroutine of a closure that is gone when it runs"
