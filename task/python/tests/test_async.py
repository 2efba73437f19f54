"""LocalAsyncTask: many files in flight in one event loop, and never more than asked for."""

import json

from harness import HandlerTest, request

HEAD = """
import asyncio
from tigerflow.tasks import LocalAsyncTask

"""

# Every file waits until as many are in flight as may be, or the file named "last" has begun; so only a handler that
# fills its limit, and exactly that, gets through.
COUNTING = HEAD + """
class Counting(LocalAsyncTask):
    in_flight = 0
    begun = []

    @staticmethod
    async def setup(context):
        context.full = asyncio.Event()

    @classmethod
    async def run(cls, context, input_file, output_file):
        cls.in_flight += 1
        cls.begun.append(input_file.stem)
        limit = int(input_file.read_text())
        most = cls.in_flight
        if cls.in_flight == limit:
            context.full.set()
        await context.full.wait()
        await asyncio.sleep(0)
        most = max(most, cls.in_flight)
        cls.in_flight -= 1
        output_file.write_text(f"{most} {' '.join(cls.begun)}")
"""

METHODS = HEAD + """
class A(LocalAsyncTask):
    {setup}
        context.word = "word"
    {run}
        output_file.write_text(context.word)
    {teardown}
        print("torn down")
"""


class ConcurrencyTest(HandlerTest):
    def run_counting(self, limit, files):
        handler = self.ready(self.module(COUNTING), concurrency=limit)
        pairs = [self.files(f"{n:03}", str(limit)) for n in range(files)]
        for number, (source, target) in enumerate(pairs):
            handler.run(number, source, target, slot=number % limit)
        replies = [handler.reply() for _ in pairs]
        self.assertEqual({reply["op"] for reply in replies}, {"done"}, replies)
        self.assertEqual(sorted(reply["id"] for reply in replies), list(range(files)))
        return [target.read_text().split() for _, target in pairs]

    def test_exactly_the_limit_is_in_flight(self):
        for limit in (1, 2, 7):
            with self.subTest(limit):
                outputs = self.run_counting(limit, files=40)
                self.assertEqual(max(int(most) for most, *_ in outputs), limit)

    def test_files_begin_in_the_order_of_requests(self):
        outputs = self.run_counting(3, files=40)
        longest = max(outputs, key=len)[1:]
        self.assertEqual(longest, [f"{n:03}" for n in range(40)])

    def test_a_failing_file_frees_its_place(self):
        handler = self.ready(
            self.module(HEAD + """
class A(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        raise ValueError(input_file.stem)
"""),
            concurrency=2,
        )
        for number in range(10):
            handler.run(number, *self.files(str(number)), slot=number % 2)
        replies = [handler.reply() for _ in range(10)]
        self.assertEqual([(r["op"], r["message"]) for r in replies], [("error", str(n)) for n in range(10)])
        self.assertRegex(replies[0]["traceback"], r'^Traceback .*\n  File ".*/task.py", line \d+, in run\n')


class MethodTest(HandlerTest):
    def test_kinds_of_methods(self):
        for label, setup, run, teardown in (
            (
                "static",
                "@staticmethod\n    async def setup(context):",
                "@staticmethod\n    async def run(context, input_file, output_file):",
                "@staticmethod\n    async def teardown(context):",
            ),
            (
                "class and plain",
                "@classmethod\n    async def setup(cls, context):",
                "async def run(self, context, input_file, output_file):",
                "@classmethod\n    async def teardown(cls, context):",
            ),
            (
                "synchronous setup and teardown",
                "@staticmethod\n    def setup(context):",
                "@staticmethod\n    async def run(context, input_file, output_file):",
                "@staticmethod\n    def teardown(context):",
            ),
        ):
            with self.subTest(label):
                handler = self.ready(self.module(METHODS.format(setup=setup, run=run, teardown=teardown)))
                self.assertEqual(self.run_file(handler, "1")[1], "word")
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
                self.assertEqual(handler.log(), "torn down\n")
                handler.log_path.unlink()

    def test_only_run_is_required(self):
        module = self.module(HEAD + """
class A(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        output_file.write_text("ran")
""")
        handler = self.ready(module)
        self.assertEqual(self.run_file(handler, "1")[1], "ran")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_run_that_is_not_async(self):
        module = self.module(HEAD + """
class A(LocalAsyncTask):
    @staticmethod
    def run(context, input_file, output_file):
        pass
""")
        reply, _ = self.run_file(self.ready(module), "1")
        self.assertEqual((reply["op"], reply["type"]), ("error", "TypeError"))
        self.assertEqual(reply["message"], 'run of a LocalAsyncTask must be async: write "async def run"')

    def test_run_that_returns_a_coroutine(self):
        module = self.module(HEAD + """
async def work(output_file):
    output_file.write_text("worked")
class A(LocalAsyncTask):
    @staticmethod
    def run(context, input_file, output_file):
        return work(output_file)
""")
        self.assertEqual(self.run_file(self.ready(module), "1")[1], "worked")


class UserCodeTest(HandlerTest):
    TASK = HEAD + """
import sys
class A(LocalAsyncTask):
    @staticmethod
    async def setup(context):
        context.pulse = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    @staticmethod
    async def run(context, input_file, output_file):
        exec("async def code():\\n    " + input_file.read_text(), globals())
        await code()
"""

    def test_what_user_code_may_raise(self):
        handler = self.ready(self.module(self.TASK))
        for number, (code, kind) in enumerate((
            ("sys.exit(3)", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise asyncio.CancelledError", "CancelledError"),
            ("asyncio.current_task().cancel(); await asyncio.sleep(0)", "CancelledError"),
            ("await asyncio.wait_for(asyncio.Event().wait(), 0.001)", "TimeoutError"),
            ("raise StopAsyncIteration", "StopAsyncIteration"),
            ("raise OSError(28, 'full')", "OSError"),
        )):
            with self.subTest(code):
                reply, _ = self.run_file(handler, str(number), code, number)
                self.assertEqual((reply["op"], reply["type"]), ("error", kind))
                self.assertEqual(reply.get("errno"), 28 if kind == "OSError" else None)
        self.assertEqual(self.run_file(handler, "last", "pass")[0]["op"], "done")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_end_by_a_task_beside(self):
        for code, status in (("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('why')", 1), ("raise KeyboardInterrupt", 1)):
            with self.subTest(code):
                handler = self.ready(self.module(self.TASK))
                beside = f"async def beside(): {code}\n    "
                thread = "import threading; threading.Thread(target=threading.Event().wait).start()\n    "
                handler.run(1, *self.files("1", beside + thread + "await asyncio.create_task(beside())"))
                self.assertEqual(handler.wait(), status)

    def test_tasks_left_running_come_to_their_end(self):
        left = """
class Left(A):
    @staticmethod
    async def setup(context):
        async def pulse(end):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                print("cancelled")
                end()
        context.pulses = [asyncio.create_task(pulse(end)) for end in (lambda: None, lambda: 1 / 0)]
    @staticmethod
    async def teardown(context):
        print("torn down")
"""
        handler = self.ready(str(self.module(self.TASK + left)) + ":Left")
        self.assertEqual(self.run_file(handler, "1", "pass")[0]["op"], "done")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertTrue(handler.log().startswith("torn down\ncancelled\ncancelled\n"), handler.log())
        self.assertIn("ZeroDivisionError", handler.log())

    def test_forked_child_that_comes_back_runs_nothing(self):
        handler = self.ready(self.module(self.TASK))
        code = "import os; pid = os.fork(); assert not pid or os.waitpid(pid, 0)[1] == 0"
        for number in range(3):
            handler.run(number, *self.files(str(number), code))
        replies = [handler.reply() for _ in range(3)]
        self.assertEqual([(r["op"], r["id"]) for r in replies], [("done", 0), ("done", 1), ("done", 2)])
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_threads_and_subprocesses(self):
        handler = self.ready(self.module(self.TASK))
        thread = "await asyncio.to_thread(print, 'thread')"
        process = "p = await asyncio.create_subprocess_exec('true'); assert await p.wait() == 0"
        self.assertEqual(self.run_file(handler, "1", f"{thread}; {process}")[0]["op"], "done")
        self.assertEqual(handler.log(), "thread\n")


MANY = HEAD + """
class Many(LocalAsyncTask):
    in_flight = most = runs = 0

    @staticmethod
    async def setup(context):
        context.full = asyncio.Event()

    @classmethod
    async def run(cls, context, input_file, output_file):
        cls.in_flight += 1
        cls.runs += 1
        cls.most = max(cls.most, cls.in_flight)
        if cls.in_flight == 100:
            context.full.set()
        await context.full.wait()
        for _ in range(cls.runs % 5):
            await asyncio.sleep(0)
        cls.in_flight -= 1

    @classmethod
    async def teardown(cls, context):
        print(cls.runs, cls.most, cls.in_flight)
"""

BLOCKING = HEAD + """
import time

class Blocking(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        while "has been blocked" not in open("handler.log").read():
            time.sleep(0.05)
"""


class ManyTest(HandlerTest):
    def test_ten_thousand_files(self):
        files, limit = 10_000, 100
        handler = self.ready(self.module(MANY), concurrency=limit)
        source, target = self.files("same")
        lines = [json.dumps(request(n, source, target, n % limit)).encode() + b"\n" for n in range(files)]
        ids = set()
        for first in range(0, files, 200):
            handler.send_raw(b"".join(lines[first : first + 200]))
            # Only as many as their answers fit in the pipe.
            ids.update(handler.reply()["id"] for _ in range(200))
        self.assertEqual(ids, set(range(files)))
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        runs, most, left = map(int, handler.log().split())
        self.assertEqual((runs, left), (files, 0))
        self.assertEqual(most, limit)


class BlockedLoopTest(HandlerTest):
    def test_a_blocked_loop_is_told(self):
        module = self.module(BLOCKING)
        handler = self.ready(module)
        reply, _ = self.run_file(handler, "1")
        self.assertEqual(reply["op"], "done", reply)
        told = rf"WARNING  \| The event loop has been blocked for \d+\.\d s by run, {module}:1[12]: no other file makes"
        self.assertRegex(handler.log(), told)
        self.wait_for_log(handler, "The event loop was blocked for")
