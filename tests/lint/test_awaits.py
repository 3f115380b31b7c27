"""HOUSE law: no co_await in an expression that g++ 12 miscompiles."""

import pytest

from awaits import aggregates_of, offences
from source_text import ROOT, code_files, named

BAD = {
    "braced aggregate argument": "co_await f(Agg{.a = s});",
    "braced list argument": "co_await f({.a = s});",
    "braced list of strings": 'co_await f({"a", "b"});',
    "braced container": 'auto n = co_await f(std::vector<std::string>{"a", "b"});',
    "co_await in a braced declaration": "Agg x{.a = co_await g()};",
    "co_await in a pushed aggregate": "v.push_back(Agg{co_await g()});",
    "co_await in an assigned aggregate": "opt = Agg{.a = co_await g()};",
    "co_await in an aggregate of make_shared": "auto p = std::make_shared<Agg>(Agg{s, co_await g()});",
    "closure by value as argument": "co_await f([cap] { use(cap); });",
    "closure by default copy": "co_await f([=](int n) { use(n); });",
    "closure by move": "co_await f([c = std::move(c)]() mutable { use(c); });",
    "closure of *this": "co_await f([*this] { use(); });",
    "closure by value after a reference": "co_await f([&a, b] { use(a, b); });",
    "closure in std::function": "co_await f(std::function<void()>([cap] { use(cap); }));",
    "closure in co_spawn": "co_await co_spawn(ex, [cap]() -> awaitable<void> { co_return; }, tok);",
    "closure called at once": "co_await [cap]() -> awaitable<int> { co_return cap.size(); }();",
    "conditional over awaits": "auto s = c ? co_await a() : co_await b();",
    "conditional under an await": "auto s = co_await (c ? a() : b());",
    "conditional as argument": "co_await f(c ? a : b);",
    "conditional in co_return": "co_return c ? co_await a() : 0;",
    "throw": 'throw error("x" + co_await g());',
    "in a call": "g(co_await f());",
    "in a stream": "out << co_await f();",
    "two in a statement": "auto n = co_await a() + co_await b();",
    "two in a condition": "if (co_await a() && co_await b())\n    g();",
    "inside a control statement": "if (x) { co_await f(Agg{s}); }",
    "after a branch": "if (x) co_await f(Agg{s}); else g();",
    "after else": "if (x) g(); else co_await f(Agg{s});",
    "in a condition": "while (co_await f(Agg{s})) { g(); }",
    "in an if with an initialiser": "if (auto s = co_await f({1, 2}); s) { g(); }",
    "inside a lambda body": "auto w = [&]() -> awaitable<void> { co_await f(Agg{s}); };",
    "across lines": "co_await f(\n    x,\n    Agg{\n        s});",
    "a member call on the result": "auto s = (co_await f()).value();",
    "closure dead before its coroutine": "co_spawn(ex, [cap]() -> awaitable<void> { co_await f(cap); }(), tok);",
    "reference closure dead before its coroutine": "auto w = [&]() -> awaitable<void> { co_await f(); }();",
    "an aggregate in parentheses": "struct opts { std::string a; int n = 0; };\nco_await f(opts(s));",
    "a braced default": "struct opts { int n; };\nstruct s { awaitable<int> f(int n, opts o = {}); };",
    "a braced default of a nested template": "struct opts { int n; };\nawaitable<std::vector<std::vector<int>>> f(opts o = opts{1});",
}

GOOD = {
    "alone": "co_await f();",
    "ignored on purpose": "(void)co_await f();",
    "right of =": "auto [ec, n] = co_await s.async_read_some(asio::buffer(b, n), as_result);",
    "reference binding": "auto& [ec, n] = co_await f();",
    "assignment": "x.y = co_await f();",
    "co_return": "co_return co_await f(std::move(x));",
    "constructor calls": "co_await f(std::string(a, b), std::make_unique<int>(3), make());",
    "a named aggregate": "Agg a{s, 3};\nco_await f(std::move(a));",
    "a named closure": "auto done = [cap] { use(cap); };\nco_await f(std::move(done));",
    "closures by reference": "co_await race([&]() -> awaitable<void> { co_await f(); }(), other());",
    "closure of this": "co_await f([this] { g(); });",
    "closure without captures": "co_await f([](int a) { return a ? 1 : 2; });",
    "if": "if (co_await f(x)) { v.push_back(Agg{x}); }",
    "negated if": "if (!co_await f(x))\n    co_return;",
    "if with an initialiser": "if (auto s = co_await f(); s) { use(Agg{s}); }",
    "behind &&": "while (open && co_await f()) { use(x ? 1 : 2); }",
    "behind && in a return": "bool more = co_await f();",
    "range for": "for (char c : co_await f()) use(c);",
    "switch": "switch (co_await f()) { case 1: g(); }",
    "case": "switch (x) { case 1: co_await f(); break; default: co_await g(); }",
    "a block before": "if (x) { y = Agg{1}; }\nco_await f();",
    "an initialiser before": "Agg a{1};\nco_await f();",
    "a conditional before": "auto n = c ? 1 : 2;\nco_await f(n);",
    "a throw before": "if (x)\n    throw y{};\nco_await f();",
    "else": "if (x) { g(); } else co_await f();",
    "in a comment": "// co_await f(Agg{s});\n/* co_await c ? a : b; */",
    "in a string": 'log("co_await f(Agg{s})");',
    "in a raw string": 'log(R"(co_await f(Agg{s});)");',
    "in a macro's definition": "#define AWAIT(x) co_await f(Agg{x})",
    "a statement of its own in a lambda": "spawn(ex, [s]() mutable -> awaitable<void> { co_await s.f(); });",
    "a function body": "awaitable<int> f(int a)\n{\n    int b = a > 0 ? a : 0;\n    co_return co_await g(b);\n}",
    "a digit separator": "constexpr int n = 1'000;\nco_await f(n);\nchar c = '{';",
    "a template": "co_await f<std::vector<int>>(a < b);",
    "a subscript": "slots_[i] = co_await f(v[i]);",
    "an attribute": "[[maybe_unused]] auto x = co_await f();",
    "a class with a constructor": "struct opts { explicit opts(int); };\nco_await f(opts(3));",
    "an aggregate without arguments": "struct opts { int n = 0; };\nco_await f(opts());",
    "a braced default of a class": "struct opts { int n; };\nawaitable<int> f(opts o, std::string_view s = {});",
    "a member function": "struct head { int n; };\nco_await to.head(n, std::move(s));",
    "a default without braces": "awaitable<std::vector<int>> f(int n = 3, std::string s = std::string());",
    "a member initialiser": "struct s { int a{0}; awaitable<void> f() { co_await g(); } };",
}


def in_a_coroutine(form):
    return "awaitable<void> whole(int x)\n{\n    int y = x;\n" + form + "\n    co_return;\n}\n"


@pytest.mark.parametrize("form", BAD.values(), ids=BAD.keys())
def test_the_lint_catches(form):
    assert offences(in_a_coroutine(form)), form
    nested = "auto inner = [&]() -> awaitable<void> {\n" + form + "\n};"
    assert offences(in_a_coroutine(nested)), nested


@pytest.mark.parametrize("form", GOOD.values(), ids=GOOD.keys())
def test_the_lint_lets_pass(form):
    assert offences(in_a_coroutine(form)) == [], form
    nested = "for (;;) {\n" + form + "\n}"
    assert offences(in_a_coroutine(nested)) == [], nested


def test_the_lint_tells_the_line():
    assert [line for line, _ in offences("\n\nint x;\nco_await f(Agg{s});\n")] == [4]


def test_no_co_await_that_the_compiler_gets_wrong():
    texts = {path: path.read_text() for path in code_files()}
    aggregates = set().union(*map(aggregates_of, texts.values()))
    found = []
    for path, text in texts.items():
        found += [f"{named(path)}:{line}: {what}" for line, what in offences(text, aggregates)]
    assert not found, "\n" + "\n".join(found)
