#!/usr/bin/env python3
"""The chat path of clipcore (burst detector, evidence fusion) in plain Python, to measure against.

    python3 benches/compare/chat_burst.py [--check MOMENTS.jsonl] EVENTS.jsonl[.gz] ...

It reads the same weights file and decides at the same instants: `--check` compares the openings with the moments that
`clipcore replay` wrote for the same events. Only messages are understood; mutes, relays and other detectors are left
out, which makes Python faster, not slower. Standard library only. Times are processor times, the best of three runs.
"""

import argparse
import gzip
import json
import math
import pathlib
import time
import tomllib
from bisect import bisect_right
from collections import deque

WEIGHTS = pathlib.Path(__file__).parents[2] / "clipcore/src/fusion/defaults.toml"
FRESH = 1_500_000
LOOK_BACK = 60


class Normalizer:
    """clipcore::detector::Normalizer with its defaults, at one sample a second."""

    __slots__ = ("af", "as_", "n", "fast", "slow", "var", "beyond", "upward", "edge", "var_before")
    young, winsor, floor2, step_after = 60.0, 3.0, 0.25, 90

    def __init__(self):
        self.af, self.as_ = 1 - math.exp(-1 / 10), 1 - math.exp(-1 / 240)
        self.n = self.fast = self.slow = self.var = self.edge = self.var_before = 0.0
        self.beyond, self.upward = 0, False

    def sigma(self):
        return math.sqrt(max(self.var, self.slow, self.floor2))

    def update(self, x):
        sigma = self.sigma()
        if self.n == 0.0:
            self.n, self.fast, self.slow = 1.0, x, x
            return 0.0
        self.fast += self.af * (x - self.fast)
        settled = self.n * self.af >= 1.0
        reach = self.winsor * sigma if settled else math.inf
        d = max(-reach, min(reach, x - self.slow))
        alpha = max(self.as_, 1.0 / (self.n + 1.0))
        self.slow += alpha * d
        self.var += alpha * (d * d - self.var)
        self.n += 1.0
        self.follow_step(sigma, settled)
        return (self.fast - self.slow) / (self.sigma() * math.sqrt(self.af / 2)) * (self.n / (self.n + self.young))

    def follow_step(self, sigma, settled):
        if self.beyond == 0:
            outside = settled and abs(self.fast - self.slow) > self.winsor * sigma
        else:
            outside = self.fast > self.edge if self.upward else self.fast < self.edge
        if not outside:
            self.beyond = 0
            return
        if self.beyond == 0:
            self.upward = self.fast > self.slow
            self.edge = self.slow + math.copysign(self.winsor * sigma, self.fast - self.slow)
            self.var_before = self.var
        self.beyond += 1
        if self.beyond >= self.step_after:
            self.slow, self.var, self.n, self.beyond = self.fast, self.var_before, math.ceil(1 / self.af), 0


class ChatBurst:
    """clipcore::detector::ChatBurst without mutes and relays: calls `emit(at_us, onset_us, z)`."""

    min_z, min_rate, min_chatters, repeat = 1.0, 0.3, 4, 5_000_000

    def __init__(self, emit):
        self.emit = emit
        self.reset()

    def reset(self):
        self.rate, self.count, self.counts = Normalizer(), 0, deque(maxlen=LOOK_BACK)
        self.queue, self.known = deque(), set()
        self.next, self.quiet = None, 0

    def forget(self, now):
        since = now - self.repeat
        while self.queue and self.queue[0][0] <= since:
            self.known.discard(self.queue.popleft()[1])

    def message(self, at, user):
        self.quiet = 0
        if self.next is None:
            self.next = at // 1_000_000 + 1
        self.forget(at)
        if user not in self.known:
            self.known.add(user)
            self.queue.append((at, user))
            self.count += 1

    def advance(self, to):
        while self.next is not None and self.next * 1_000_000 <= to:
            self.quiet += 1
            if self.quiet > 1800:
                self.reset()
                return
            at = self.next * 1_000_000
            self.next += 1
            self.tick(at)

    def tick(self, at):
        count, self.count = self.count, 0
        self.counts.append(count)
        z = self.rate.update(float(count))
        if z >= self.min_z and self.rate.fast >= self.min_rate and len(self.known) >= self.min_chatters:
            self.emit(at, at - 1_000_000 * self.since_onset(), round(z * 1e4) / 1e4)
        self.forget(at)

    def since_onset(self):
        usual = max(self.rate.slow, 0.05)
        best, back, seen = 0.0, 1, 0.0
        for i, count in enumerate(reversed(self.counts), 1):
            seen += count
            expected = usual * i
            if seen > expected:
                llr = seen * math.log(seen / expected) - (seen - expected)
                if llr > best:
                    best, back = llr, i
        return back


class Fusion:
    """clipcore::fusion::EvidenceFusion for chat alone; collects the instants at which moments open."""

    def __init__(self, weights):
        us = lambda secs: round(secs * 1e6)
        d, group = weights["decision"], weights["groups"]["chat"]
        points = next(c["points"] for c in weights["calibration"] if c["detector"] == "chat_burst")
        self.scores, self.llrs = [p[0] for p in points], [p[1] for p in points]
        self.max_llr, self.bias, self.weight, self.hold = weights["max_llr"], weights["bias"], group["weight"], us(group["hold"])
        self.step, self.enter, self.exit = us(d["tick"]), d["enter"], d["enter"] - d["hysteresis"]
        self.quiet, self.refractory, self.max_length = us(d["quiet"]), us(d["refractory"]), us(d["max_length"])
        self.pending, self.held = deque(), deque()
        self.last_tick, self.idle, self.armed, self.blocked = None, True, True, -math.inf
        self.active, self.opened = None, []

    def push(self, at, onset, z):
        self.pending.append((at, onset, z))

    def llr(self, z):
        above = bisect_right(self.scores, z)
        if above == 0:
            return 0.0
        if above == len(self.scores):
            return min(self.llrs[-1], self.max_llr)
        a, b = self.scores[above - 1], self.scores[above]
        return min(self.llrs[above - 1] + (self.llrs[above] - self.llrs[above - 1]) * (z - a) / (b - a), self.max_llr)

    def advance(self, watermark):
        while True:
            if self.idle:
                if not self.pending:
                    return
                tick = -(-self.pending[0][0] // self.step) * self.step
                if self.last_tick is not None:
                    tick = max(tick, self.last_tick + self.step)
            else:
                tick = self.last_tick + self.step
            if tick >= watermark:
                return
            self.run(tick)

    def finish(self):
        while self.pending or not self.idle:
            first = self.pending[0][0] if self.pending else 0
            self.advance(max(first, self.last_tick or 0) + 2 * self.step)

    def run(self, now):
        while self.pending and self.pending[0][0] <= now:
            at, onset, z = self.pending.popleft()
            llr = self.llr(z)
            if llr > 0.0:
                while self.held and self.held[-1][2] <= llr:
                    _, earlier, _ = self.held.pop()
                    onset = min(onset, earlier)
                self.held.append((at, onset, llr))
        self.last_tick = now
        while self.held and self.held[0][0] + self.hold <= now:
            self.held.popleft()
        late = self.weight * self.held[0][2] if self.held else 0.0
        fresh = 0.0
        for at, _, llr in reversed(self.held):
            if now >= at + FRESH:
                break
            fresh = self.weight * llr
        total, fresh = self.bias + late, self.bias + fresh
        if self.active is None:
            self.begin(now, total, fresh, late)
        else:
            self.follow(now, total, fresh)
        self.idle = self.active is None and not self.held
        if self.idle:
            self.armed = True

    def begin(self, now, total, fresh, late):
        if fresh < self.exit:
            self.armed = True
        if self.armed and now >= self.blocked and late > 0.0 and total >= self.enter:
            self.opened.append(now)
            self.active = [now, now, total, now]

    def follow(self, now, total, fresh):
        opened, peak, score, above = self.active
        if total > score:
            peak, score = now, total
        if fresh >= self.exit:
            above = now
        if now >= above + self.quiet or now >= opened + self.max_length:
            self.blocked, self.armed, self.active = peak + self.refractory, False, None
        else:
            self.active = [opened, peak, score, above]


def detect(events, weights):
    """Openings in microseconds of `events`, (stream, at_us, user) sorted by time, stream by stream."""
    streams = {}
    for stream, at, user in events:
        state = streams.get(stream)
        if state is None:
            fusion = Fusion(weights)
            state = streams[stream] = (ChatBurst(fusion.push), fusion)
        burst, fusion = state
        burst.advance(at)
        burst.message(at, user)
        fusion.advance(at)
    for burst, fusion in streams.values():
        burst.advance(burst.queue[-1][0] + 1 if burst.queue else 0)
        fusion.finish()
    return {stream: fusion.opened for stream, (_, fusion) in streams.items()}


def parse(lines):
    events = []
    for line in lines:
        event = json.loads(line)
        if event["type"] == "chat.message":
            at = round(float(event["at"]) * 1e6)
            events.append((event.get("stream") or event["subject"], at, event["data"]["user"]))
    events.sort(key=lambda e: e[1])
    return events


def best(work):
    times = []
    for _ in range(3):
        begin = time.process_time()
        result = work()
        times.append(time.process_time() - begin)
    return min(times), result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", nargs="+")
    parser.add_argument("--check", help="moments of `clipcore replay` for the same events")
    args = parser.parse_args()
    weights = tomllib.loads(WEIGHTS.read_text())
    lines = []
    for path in args.events:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
            lines.extend(file)
    events = parse(lines)
    n = len(events)
    seconds, opened = best(lambda: detect(events, weights))
    print(f"{'detector + fusion, events in memory':<44} {n:>9} {n / seconds:>12.0f} {seconds * 1e6 / n:>9.3f}")
    seconds, _ = best(lambda: parse(lines))
    print(f"{'JSON parsing alone':<44} {n:>9} {n / seconds:>12.0f} {seconds * 1e6 / n:>9.3f}")
    seconds, _ = best(lambda: detect(parse(lines), weights))
    print(f"{'JSON parsing + sorting + detector + fusion':<44} {n:>9} {n / seconds:>12.0f} {seconds * 1e6 / n:>9.3f}")
    if args.check:
        theirs = set()
        with open(args.check) as file:
            for line in file:
                moment = json.loads(line)
                if moment["state"] == "open":
                    theirs.add((moment["stream"], round(moment["decided_at"] * 1e6)))
        ours = {(stream, at) for stream, instants in opened.items() for at in instants}
        print(f"openings: {len(ours)} here, {len(theirs)} in {args.check}, {len(ours & theirs)} at the same instant")


if __name__ == "__main__":
    main()
