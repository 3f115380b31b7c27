"""The clients as processes: one per language, and curl. A driver takes orders (see js/driver.mjs) and gives the
verdict of each: what the user of that client got."""

import itertools
import json
import os
import queue
import subprocess
import threading
import time

import install


class Running:
    """A call that a client is making."""

    def __init__(self, driver, order):
        self.driver, self.order = driver, order
        self._verdict = queue.Queue(1)

    def end(self, verdict):
        self._verdict.put(verdict)

    def verdict(self, within=120.0):
        try:
            return self._verdict.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no verdict after {within} s: {self.order}") from None

    def abort(self):
        self.driver.abort(self)


class Driver:
    """A program that speaks the protocol of js/driver.mjs."""

    def __init__(self, command, environment=None):
        # Not theirs: settings of whoever runs the tests. And compiled modules are kept: they take half a minute.
        others = ("OLLAMA_", "OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "http", "PYTHONDONTWRITEBYTECODE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**clean, **(environment or {})},
        )
        self.running = {}
        self.numbers = itertools.count(1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            try:
                verdict = json.loads(line)
            except ValueError:  # a library that prints
                continue
            self.running.pop(verdict["id"]).end(verdict)
        for call in list(self.running.values()):
            call.end({"text": "", "pieces": 0, "error": "the driver died", "status": None, "aborted_at": None, "ms": 0})

    def _say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def start(self, **order):
        order["id"] = next(self.numbers)
        call = self.running[order["id"]] = Running(self, order)
        self._say(order)
        return call

    def abort(self, call):
        self._say({"abort": call.order["id"]})

    def stop(self):
        self.process.kill()
        self.process.wait()


MESSAGES = [{"role": "user", "content": "Hello"}]
CURL = {
    "curl chat": ("/api/chat", {}),
    "curl chat whole": ("/api/chat", {"stream": False}),
    "curl openai chat": ("/v1/chat/completions", {"stream": True}),
}


class Curl:
    """curl -N, whose user reads the lines."""

    def start(self, use, base, model, headers=(), abort_after=None, **_):
        target, more = CURL[use]
        body = json.dumps({"model": model, "messages": MESSAGES, **more})
        named = [part for name, value in dict(headers).items() for part in ("-H", f"{name}: {value}")]
        command = ["curl", "-sSN", "-w", "\n%{http_code}", *named, base + target, "-d", body]
        call = Running(self, {"use": use})
        call.aborted_at = None
        call.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(call, abort_after), daemon=True).start()
        return call

    def _read(self, call, abort_after):
        start = time.monotonic()
        raw, text, pieces, error, last = "", "", 0, None, ""
        for line in call.process.stdout:
            raw += line
            try:
                found = json.loads(line.removeprefix("data: "))
            except ValueError:
                last = line
                continue
            if not isinstance(found, dict):  # the status, which curl prints at the end
                last = line
                continue
            if "error" in found:
                error = json.dumps(found["error"])
                continue
            said = found["choices"][0]["delta"] if "choices" in found else found["message"]
            text += said.get("content", "")
            pieces += 1
            if pieces == abort_after:
                self.abort(call)
        code = call.process.wait()
        complaint = call.process.stderr.read().strip()
        if code and not error:
            error = complaint or f"curl ended with {code}"
        call.end({
            "text": text, "pieces": pieces, "error": error, "raw": raw, "aborted_at": call.aborted_at,
            "status": int(last) if last.strip().isdigit() else None, "ms": (time.monotonic() - start) * 1000,
        })  # fmt: skip

    def abort(self, call):
        call.aborted_at = time.monotonic() * 1000
        call.process.kill()

    def stop(self):
        pass


class Drivers:
    """One driver per language, started when first asked for."""

    def __init__(self):
        self._drivers = {"curl": Curl()}

    def of(self, language):
        if language not in self._drivers:
            self._drivers[language] = Driver(install.LANGUAGES[language]())
        return self._drivers[language]

    def start(self, row, base, **more):
        return self.of(row.language).start(use=row.use, base=base, model=row.model, **more)

    def stop(self):
        for driver in self._drivers.values():
            driver.stop()
