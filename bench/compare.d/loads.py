"""The loads, the rows of the table, and the bars of SPEC §13."""

import statistics

RELAYS = ("direct", "nginx", "haproxy", "gateway")
QUEUES = ("haproxy-queue", "gateway-queue")
OURS = ("gateway-queue",)


class Load:
    def __init__(self, name, *arguments, targets=RELAYS, quick=False):
        self.name, self.arguments, self.targets, self.quick = name, arguments, targets, quick


def loads(quick):
    long, short = (1.5, 1) if quick else (5, 3)
    found = [Load(f"calls-{n}", "calls", "--connections", n, "--duration", short, "--warmup", 0.3,
                  quick=n < 256) for n in (1, 16, 256)]
    found += [Load(f"streams-{n}", "streams", "--streams", n, "--duration", long,
                   "--ramp", 0.3 if quick else 0.7, quick=n <= 500) for n in (100, 500, 1000, 2000)]
    # Streams of ten chunks, begun anew as they end: a first byte is measured some 500 times a second.
    found += [Load("first-byte-100", "streams", "--streams", 100, "--chunks", 10, "--duration", long)]
    for phase in ("first_byte", "streaming", "one_piece"):
        found += [Load(f"abort-{phase}", "aborts", "--phase", phase, "--count", 320)]
    found += [Load("abort-half-close", "aborts", "--how", "half", "--count", 160),
              Load("abort-queued", "aborts", "--phase", "queued", "--count", 160, targets=QUEUES),
              Load("abort-storm", "aborts", "--at-once", 500, "--together", 1, "--count", 1000),
              Load("handover", "handover", "--connections", 8, "--duration", short, targets=QUEUES),
              # One client that asks anew at once: a hand-over by nobody, that is both hops and their wake-ups alone.
              Load("handover", "handover", "--connections", 1, "--duration", short, targets=("direct",))]
    off = ("--header", "X-Gateway-Heartbeat: off")
    found += [Load(f"queue-{n}", "handover", "--connections", n, "--delay-ms", 1, "--warmup", 2,
                   "--duration", short, *off, targets=OURS) for n in (10, 10000)]
    found += [Load("waiting", "waiting", targets=OURS),
              Load("waiting-events", "waiting", "--header", "X-Queue-Events: 1", targets=OURS)]
    return [one for one in found if one.quick or not quick]


class Row:
    """One line of the table. `added`: what the proxy adds to the direct figure of the same round."""

    def __init__(self, load, key, label, unit, added=False, bar=None, against="best"):
        self.load, self.key, self.label, self.unit = load, key, label, unit
        self.added, self.bar, self.against = added, bar, against


def rows():
    for n in (100, 500, 1000, 2000):
        name = f"streams-{n}"
        yield Row(name, "cpu_proxy_us", f"CPU per chunk, {n} streams", "µs",
                  bar=1.0 if n in (500, 1000) else None)
        yield Row(name, "delay_p50_us", f"chunk delay p50, {n} streams", "µs")
        yield Row(name, "delay_p99_us", f"chunk delay p99, {n} streams", "µs")
        yield Row(name, "longest_gap_added_p99_us", f"longest gap added, p99 of {n} streams", "µs",
                  bar=1.0 if n == 2000 else None, against="nginx")
        yield Row(name, "chunks_per_s", f"chunks arrived per second, {n} streams", "/s")
        yield Row(name, "chunks_per_read", f"chunks per read of the client, {n} streams", "")
    yield Row("first-byte-100", "first_byte_p50_us", "added time to first byte p50, 100 streams", "µs", True)
    yield Row("first-byte-100", "first_byte_p99_us", "added time to first byte p99, 100 streams", "µs", True,
              bar=1.0, against="nginx")
    for n in (1, 16, 256):
        name = f"calls-{n}"
        yield Row(name, "cpu_proxy_us", f"CPU per short call, {n} connections", "µs", bar=1.0,
                  against="haproxy")
        bar = 1.25 if n == 1 else None
        yield Row(name, "latency_p50_us", f"added latency p50, {n} connections", "µs", True, bar, "haproxy")
        yield Row(name, "latency_p99_us", f"added latency p99, {n} connections", "µs", True, bar, "haproxy")
        yield Row(name, "calls_per_s", f"calls per second, {n} connections", "/s")
    for phase in ("first_byte", "streaming", "one_piece", "half-close"):
        yield Row(f"abort-{phase}", "noticed_p50_us", f"abort noticed p50, {phase}, 16 at once", "µs")
        yield Row(f"abort-{phase}", "noticed_p99_us", f"abort noticed p99, {phase}, 16 at once", "µs")
    yield Row("abort-storm", "noticed_p99_us", "abort noticed p99, 500 in one moment", "µs", bar=1.0,
              against="nginx")
    yield Row("abort-queued", "reached_origin", "queued calls that left and reached the origin", "")
    yield Row("handover", "gap_p50_us", "hand-over of the permit p50, 5 ms calls", "µs")
    yield Row("handover", "gap_p99_us", "hand-over of the permit p99, 5 ms calls", "µs")
    yield Row("handover", "utilisation", "permit in use, 5 ms calls", "of the time")
    yield Row("queue-10", "cpu_proxy_us", "CPU per queued call, 10 waiting", "µs")
    yield Row("queue-10000", "cpu_proxy_us", "CPU per queued call, 10,000 waiting", "µs")
    for name, kind in (("waiting", "heartbeats"), ("waiting-events", "events each second")):
        yield Row(name, "bytes_per_client", f"memory per waiting client, 10,000, {kind}", "B")
        yield Row(name, "cpu_proxy_share", f"CPU while 10,000 wait, {kind}", "cores")
        yield Row(name, "leave_us", f"CPU per client that leaves, of 10,000, {kind}", "µs")
        yield Row(name, "all_forgotten_ms", f"until the queue has forgotten 10,000, {kind}", "ms")
    yield Row("waiting-events", "events_per_client_s", "events per waiting client", "/s")
    yield Row("waiting-events", "event_late_max_us", "an event off its second, at most", "µs")
    yield Row("scrape", "metrics_p50_ms", "GET /metrics under 500 streams p50", "ms")
    yield Row("scrape", "status_p50_ms", "GET /status under 500 streams p50", "ms")


def complaint(load, run):
    """What makes a run of that load doubtful, or an empty text."""
    found = [f"{run[key]:.0f} {word}" for key, word in (
        ("lost", "streams not whole"), ("failed", "calls failed"), ("overlaps", "calls beside the one permit"),
        ("ended_early", "waiting clients were answered"), ("cut_early", "cut before they left")) if run.get(key)]
    if run["mode"] == "aborts":
        expected = 0 if run["phase"] == "queued" else run["left"]
        if run["reached_origin"] != expected:
            found.append(f"{run['reached_origin']:.0f} instead of {expected:.0f} reached the origin")
        if run["noticed"] != expected:
            found.append(f"{run['noticed']:.0f} of {expected:.0f} aborts noticed")
    if run["mode"] == "waiting" and run["queued"] != run["clients"]:
        found.append(f"{run['queued']:.0f} of {run['clients']:.0f} queued")
    if load == "waiting-events" and run["events_per_client_s"] < 0.9:
        found.append(f"{run['events_per_client_s']:.2g} events per client and second")
    # Who falls behind reads several chunks at once and looks cheaper than who keeps up.
    if run["mode"] == "streams" and run["streams"] <= 1000 and run["chunks_per_read"] > 1.05:
        found.append(f"chunks came {run['chunks_per_read']:.2f} to a read: the machine was saturated")
    if run.get("cpu_others_share", 0) > 0.1:
        found.append(f"others used {run['cpu_others_share']:.2f} cores")
    return ", ".join(found)


# Bars that are not a ratio to a peer: load, key, label, comparison, figure.
ABSOLUTE = (
    ("waiting", "bytes_per_client", "memory per waiting client", "<=", 16 * 1024),
    ("waiting-events", "bytes_per_client", "memory per waiting client, with events", "<=", 16 * 1024),
    ("waiting-events", "cpu_proxy_share", "10,000 waiting with events: cores", "<=", 0.25),
    ("waiting-events", "event_late_max_us", "an event off its second, µs", "<=", 100_000),
    ("handover", "gap_p50_us", "permit hand-over p50, µs", "<=", 200),
    ("handover", "utilisation", "permit in use with 5 ms calls", ">=", 0.97),
    *((f"abort-{phase}", "noticed_p99_us", f"abort p99, {phase}, 16 at once, µs", "<=", 10_000)
      for phase in ("first_byte", "streaming", "one_piece")),
)


class Figures:
    """rounds[i][load][target] is one run's JSON."""

    def __init__(self, rounds):
        self.rounds = rounds

    def _one(self, one_round, row, target):
        runs = one_round.get(row.load, {})
        run = runs.get(target) or runs.get(target + "-queue")
        value = run.get(row.key) if run else None
        if value is None or not row.added or target == "direct":
            return value
        direct = runs.get("direct")
        return value - direct[row.key] if direct else None

    def values(self, row, target):
        found = (self._one(one, row, target) for one in self.rounds)
        return [value for value in found if value is not None]

    def median(self, row, target):
        values = self.values(row, target)
        return statistics.median(values) if values else None

    def ratios(self, row, target, against):
        """In each round, to that peer, or to the better of the peers in that round."""
        peers = ("nginx", "haproxy") if against == "best" else (against,)
        found = []
        for one in self.rounds:
            mine = self._one(one, row, target)
            theirs = [v for v in (self._one(one, row, peer) for peer in peers) if v and v > 0]
            if mine is not None and theirs:
                found.append(mine / min(theirs))
        return found

    def ratio(self, row, target, against):
        found = self.ratios(row, target, against)
        return statistics.median(found) if found else None

    def bars(self):
        """(what, wanted, figure, the figure in each round, verdict)."""
        for row in rows():
            if row.bar is not None:
                name = "the better peer" if row.against == "best" else row.against
                yield self._bar(row.label, f"<= {row.bar} × {name}", self.ratios(row, "gateway", row.against),
                                row.bar, {row.load})
        for load, key, label, sign, bar in ABSOLUTE:
            row = Row(load, key, label, "")
            yield self._bar(label, f"{sign} {bar:,}", self.values(row, "gateway"), bar, {load}, sign,
                            self.median(row, "direct"))
        few, many = (self.values(Row(f"queue-{n}", "cpu_proxy_us", "", ""), "gateway") for n in (10, 10000))
        yield self._bar("CPU of a call, 10,000 waiting to 10 waiting", "<= 1.2",
                        [a / b for a, b in zip(many, few)], 1.2, {"queue-10", "queue-10000"})

    def _bar(self, what, wanted, figures, bar, used, sign="<=", direct=None):
        """`direct`: what this machine does with nothing in between; a bar that this misses cannot be kept here."""
        if not figures:
            return what, wanted, None, [], "not measured"

        def keeps(figure):
            return figure <= bar if sign == "<=" else figure >= bar

        figure = statistics.median(figures)
        kept = keeps(figure)
        missed = "MISSED" if direct is None or keeps(direct) else f"out of reach here: direct has {direct:.3g}"
        doubtful = any(complaint(load, run) for one in self.rounds for load in used & one.keys()
                       for run in one[load].values())
        return what, wanted, figure, figures, ("kept" if kept else missed) + (", doubtful" if doubtful else "")
