"""The Python clients as one program: a line of JSON on standard input starts a call as one of them makes it, a line
on standard output says what its user got. Calls run side by side; the protocol is that of ../js/driver.mjs.
Its arguments are the modules whose clients it has."""

import asyncio
import contextlib
import importlib
import json
import socket
import sys
import threading
import time

import uses

for module in sys.argv[1:]:
    importlib.import_module(module)


class Left(Exception):
    """The user of a call left between two pieces."""


class Call:
    def __init__(self, order):
        self.order = order
        self.verdict = {"id": order["id"], "text": "", "pieces": 0, "error": None, "status": None, "aborted_at": None}
        self.base = order.get("base")
        self.v1 = self.base and f"{self.base}/v1"
        self.model = order["model"]
        self.headers = order.get("headers") or {}
        self.tokens = order.get("tokens", 12)
        self.retries = {"max_retries": order["retries"]} if "retries" in order else {}
        self.loop = self.task = None

    def piece(self, text):
        self.verdict["text"] += text or ""
        self.verdict["pieces"] += 1
        if self.verdict["pieces"] == self.order.get("abort_after"):
            self.left()
            if self.task:
                self.task.cancel()
            else:
                raise Left

    def left(self):
        if self.verdict["aborted_at"] is None:
            self.verdict["aborted_at"] = time.monotonic() * 1000  # CLOCK_MONOTONIC, which the simulator stamps with

    def abort(self):
        """Only a coroutine can be told from outside to stop."""
        if self.task:
            self.left()
            self.loop.call_soon_threadsafe(self.task.cancel)

    def run(self, use):
        start = time.monotonic()
        try:
            if asyncio.iscoroutinefunction(use):
                asyncio.run(self.awaited(use))
            else:
                use(self)
        except (Left, asyncio.CancelledError):
            self.verdict["error"] = "aborted"
        except Exception as error:  # whatever the user would see
            self.verdict["error"] = f"{type(error).__name__}: {error}"
            self.verdict["status"] = getattr(error, "status_code", None) or getattr(error, "status", None)
        self.verdict["ms"] = (time.monotonic() - start) * 1000
        with printing:
            print(json.dumps(self.verdict), flush=True)

    async def awaited(self, use):
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        await use(self)


def warm_up():
    """Makes each call once, alone, where nobody listens. These packages import much of themselves at their first call,
    and Python 3.11 may take calls that do so at once for a deadlock: an error that no user of one of them gets."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for use in uses.USES.values():
            call = Call({"id": None, "base": address, "model": "none", "retries": 0})
            with contextlib.suppress(Exception):
                asyncio.run(use(call)) if asyncio.iscoroutinefunction(use) else use(call)


warm_up()
printing = threading.Lock()
running = {}
for line in sys.stdin:
    order = json.loads(line)
    if "abort" in order:
        running[order["abort"]].abort()
        continue
    call = running[order["id"]] = Call(order)
    threading.Thread(target=call.run, args=(uses.USES[order["use"]],), daemon=True).start()
