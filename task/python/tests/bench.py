"""Measures the handler: time to ready, and files a second next to the bare function in a loop.

Processor time is what a busy machine falsifies least.
Run as ``python3 tests/bench.py [files]``; it works in /dev/shm where there is one.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import Handler, request  # noqa: E402

AHEAD = 32  # requests sent before their predecessors are answered
MODULE = """
from tigerflow.tasks import {kind}

class Copy({kind}):
    @staticmethod
    {run} run(context, input_file, output_file):
        with open(input_file, "rb") as f:
            content = f.read()
        with open(output_file, "wb") as f:
            f.write(content)
"""


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        folder = Path(folder)
        pairs = [(folder / f"input-{i:07}.txt", folder / f".~tf_{i:07}.out") for i in range(count)]
        for source, target in pairs:
            source.write_text("some text\n")
            target.touch()
        report("bare loop", count, *measured("self", lambda: bare(pairs)))
        for kind, run, concurrency in (("LocalTask", "def", 1), ("LocalAsyncTask", "async def", AHEAD)):
            module = folder / f"{kind.lower()}.py"
            module.write_text(MODULE.format(kind=kind, run=run))
            ready = []
            for _ in range(9):
                start = time.perf_counter()
                handler = Handler(module, folder, options=())
                handler.setup(concurrency=concurrency)
                ready.append(time.perf_counter() - start)
                handler.destroy()
            print(f"{kind}: {statistics.median(ready) * 1000:.0f} ms from spawn to ready")
            handler = Handler(module, folder, options=())
            handler.setup(concurrency=concurrency)
            report(kind, count, *measured(handler.pid, lambda: pipelined(handler, pairs, concurrency)))
            handler.teardown()
            handler.destroy()


def measured(pid, work):
    """Does the work; returns the seconds that it took, and the processor's seconds that a process spent on it."""
    spent, start = processor(pid), time.perf_counter()
    work()
    return time.perf_counter() - start, processor(pid) - spent


def processor(pid):
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def bare(pairs):
    for source, target in pairs:
        with open(source, "rb") as f:
            content = f.read()
        with open(target, "wb") as f:
            f.write(content)


def pipelined(handler, pairs, slots):
    # Encoded beforehand, so that what is measured is the handler and not this driver.
    lines = [(str(request(i, s, t, i % slots)).replace("'", '"') + "\n").encode() for i, (s, t) in enumerate(pairs)]
    sent = answered = 0
    while answered < len(lines):
        handler.send_raw(b"".join(lines[sent : answered + AHEAD]))
        sent = min(len(lines), answered + AHEAD)
        answered += os.read(handler.replies, 1 << 16).count(b'"done"')


def report(name, count, seconds, processor_seconds):
    a_file = [f"{part / count * 1e6:.1f} µs" for part in (seconds, processor_seconds)]
    print(f"{name}: {count / seconds:,.0f} files/s, {a_file[0]} a file, of the processor {a_file[1]}")


if __name__ == "__main__":
    main()
