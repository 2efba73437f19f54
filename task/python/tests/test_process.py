"""The handler as a process: its output, signals, descriptors, children, threads and end."""

import gzip
import os
import signal

from harness import HandlerTest, request, wait_for

EXEC = """
import atexit, multiprocessing, os, signal, subprocess, sys, threading
from tigerflow.tasks import LocalTask

def double(n):
    return 2 * n

class A(LocalTask):
    @staticmethod
    def setup(context):
        context.pids = []

    @staticmethod
    def run(context, input_file, output_file):
        exec(input_file.read_text(), {**globals(), "context": context, "output_file": output_file})

    @staticmethod
    def teardown(context):
        print("torn down")

A.cli()
"""


class ProcessTest(HandlerTest):
    def done(self, handler, code, number=1):
        """Runs code as user code, which must succeed; returns what it wrote."""
        reply, text = self.run_file(handler, str(number), code, number)
        self.assertEqual(reply["op"], "done", reply)
        return text


class OutputTest(ProcessTest):
    def test_prints_are_logged_at_once_and_in_order(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "print('one'); print('two', file=sys.stderr); print('three'); os.write(1, b'four\\n')")
        self.assertEqual(handler.log(), "one\ntwo\nthree\nfour\n")

    def test_flood(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "for n in range(20_000): print('{\"op\":\"done\",\"id\":%d}' % n)")
        self.done(handler, "os.write(2, bytes(range(256)) * 100)")
        self.done(handler, "pass", 2)
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log().count('"done"'), 20_000)

    def test_print_at_import(self):
        handler = self.ready(self.module("print('imported')\n" + EXEC))
        self.done(handler, "print('ran')")
        self.assertEqual(handler.log(), "imported\nran\n")

    def test_closed_and_redirected_output(self):
        for code in (
            "sys.stdout.close()",
            "sys.stdout = None",
            "sys.stdout = open(os.devnull, 'w'); sys.stderr.close()",
            "os.close(0); os.close(1); os.close(2)",
            "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        ):
            with self.subTest(code):
                handler = self.ready(self.module(EXEC.replace('print("torn down")', "pass")))
                self.done(handler, code)
                self.done(handler, "pass", 2)
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_logger(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "from tigerflow.logconfig import logger\nlogger.info('{} of {}', 1, 2)")
        self.assertRegex(handler.log(), r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| INFO     \| 1 of 2\n$")

    def test_crash_leaves_a_python_traceback_in_the_log(self):
        handler = self.ready(self.module(EXEC))
        handler.run(1, *self.files("1", "os.kill(os.getpid(), signal.SIGSEGV)"))
        self.assertEqual(handler.wait(), -signal.SIGSEGV)
        self.assertIn("Fatal Python error: Segmentation fault", handler.log())


class SignalTest(ProcessTest):
    def test_interrupts_do_not_reach_user_code(self):
        handler = self.ready(self.module(EXEC))
        for number in (signal.SIGINT, signal.SIGTERM):
            self.done(handler, f"os.kill(os.getpid(), {int(number)})")
            os.killpg(handler.pid, number)
        self.done(handler, "pass", 2)
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_children_have_the_usual_dispositions(self):
        handler = self.ready(self.module(EXEC))
        popen = "p = subprocess.Popen(['sleep', '60'])\n"
        fork = "pid = os.fork()\nif not pid:\n    signal.pause()\n"
        process = "p = multiprocessing.get_context('fork').Process(target=signal.pause)\np.start()\n"
        for label, number, code in (
            ("exec", signal.SIGTERM, popen + "p.terminate()\nstatus = -p.wait()"),
            ("exec", signal.SIGINT, popen + "p.send_signal(signal.SIGINT)\nstatus = -p.wait()"),
            ("fork", signal.SIGTERM, fork + "os.kill(pid, signal.SIGTERM)\nstatus = os.waitpid(pid, 0)[1]"),
            ("multiprocessing", signal.SIGTERM, process + "p.terminate()\np.join()\nstatus = -p.exitcode"),
        ):
            with self.subTest(label, signal=number):
                status = self.done(handler, code + "\noutput_file.write_text(str(status))")
                self.assertEqual(status, str(int(number)))

    def test_own_handlers_of_user_code(self):
        handler = self.ready(self.module(EXEC))
        own = "signal.signal(signal.SIGTERM, lambda *_: output_file.write_text('caught'))\n"
        self.assertEqual(self.done(handler, own + "os.kill(os.getpid(), signal.SIGTERM)"), "caught")
        fork = "pid = os.fork()\nif not pid:\n    os.kill(os.getpid(), signal.SIGTERM)\n    os._exit(0)\n"
        self.assertEqual(self.done(handler, own + fork + "os.waitpid(pid, 0)", 2), "caught")


class ChildTest(ProcessTest):
    FDS = "sorted(set(range(3, 6)) & {int(fd) for fd in os.listdir('/proc/self/fd')})"

    def test_children_hold_no_pipe(self):
        handler = self.ready(self.module(EXEC))
        program = f"import os; print([os.path.realpath(f'/proc/self/fd/{{fd}}') for fd in {self.FDS}])"
        code = f"output_file.write_bytes(subprocess.check_output([sys.executable, '-c', {program!r}], close_fds=False))"
        self.assertNotIn("pipe", self.done(handler, code))
        code = """
pid = os.fork()
if not pid:
    try:
        for fd in (3, 4, 5):
            try:
                os.fstat(fd)
                os._exit(1)
            except OSError:
                pass
        os._exit(0)
    finally:
        os._exit(2)
output_file.write_text(str(os.waitpid(pid, 0)[1]))
"""
        self.assertEqual(self.done(handler, code, 2), "0")

    def test_environment(self):
        handler = self.ready(self.module(EXEC), env={"TIGERFLOW_TASK": "Test"})
        code = "output_file.write_text(repr([os.environ.get('TIGERFLOW_HANDLER'), os.environ['TIGERFLOW_TASK']]))"
        self.assertEqual(self.done(handler, code), "[None, 'Test']")

    def test_child_left_behind_does_not_hold_the_handler(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "subprocess.Popen(['sleep', '60'])")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        wait_for(lambda: os.read(handler.replies, 1) == b"", "the end of the replies")

    def test_forked_child_that_comes_back_runs_nothing(self):
        for ending, status in (("pass", 0), ("raise ValueError", 1), ("sys.exit(7)", 7)):
            with self.subTest(ending):
                handler = self.ready(self.module(EXEC))
                fork = f"context.pids.append(os.fork())\nif not context.pids[-1]:\n    {ending}\n"
                check = "status = os.waitpid(context.pids[0], 0)[1]\noutput_file.write_text(str(status >> 8))"
                first, second = self.files("1", fork), self.files("2", check)
                handler.send(request(0, *first), request(1, *second))
                replies = [handler.reply(), handler.reply()]
                self.assertEqual([(r["op"], r["id"]) for r in replies], [("done", 0), ("done", 1)])
                self.assertEqual(second[1].read_text(), str(status))
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_multiprocessing(self):
        handler = self.ready(self.module(EXEC))
        for number, method in enumerate(("fork", "spawn", "forkserver")):
            with self.subTest(method):
                code = (
                    f"with multiprocessing.get_context('{method}').Pool(2) as pool:\n"
                    "    output_file.write_text(str(pool.map(double, range(5))))"
                )
                self.assertEqual(self.done(handler, code, number), "[0, 2, 4, 6, 8]")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))


class LeavingTest(ProcessTest):
    def test_thread_left_behind(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "threading.Thread(target=threading.Event().wait).start()")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_pools_left_behind(self):
        for pool in ("futures.ProcessPoolExecutor(2)", "multiprocessing.Pool(2)", "futures.ThreadPoolExecutor(2)"):
            with self.subTest(pool):
                handler = self.ready(self.module(EXEC))
                code = f"import builtins\nfrom concurrent import futures\nbuiltins.pool = {pool}\n"
                self.assertEqual(self.done(handler, code + "output_file.write_text(str([*pool.map(double, [1, 2])]))"), "[2, 4]")
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))

    def test_exit_functions_run(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, "atexit.register(print, 'at exit', end='')")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log(), "torn down\nat exit")

    def test_files_left_open_are_written(self):
        opened = (
            "import builtins, gzip, io\n"
            "builtins.left = [open('left.txt', 'w'), open('left.bin', 'r+b'), gzip.open('left.gz', 'wt'), open('closed', 'w')]\n"
            "left[3].buffer.raw.close()\n"
        )
        (self.folder / "left.bin").touch()
        for kind, word in (("LocalTask", "def"), ("LocalAsyncTask", "async def")):
            with self.subTest(kind):
                text = EXEC.replace("LocalTask", kind).replace("    def ", f"    {word} ")
                handler = self.ready(self.module(text))
                self.done(handler, opened + "left[0].write('a'); left[1].write(b'b'); left[2].write('c')")
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
                self.assertEqual((self.folder / "left.txt").read_text(), "a")
                self.assertEqual((self.folder / "left.bin").read_bytes(), b"b")
                self.assertEqual(gzip.decompress((self.folder / "left.gz").read_bytes()), b"c")

    def test_user_code_ends_the_process(self):
        for code, status in (("os._exit(5)", 5), ("os.kill(os.getpid(), 9)", -9)):
            with self.subTest(code):
                handler = self.ready(self.module(EXEC))
                handler.run(1, *self.files("1", code))
                self.assertEqual(handler.wait(), status)

    def test_thread_left_behind_by_what_no_request_catches(self):
        handler = self.ready(self.module(EXEC))
        self.done(handler, """
threading.Thread(target=threading.Event().wait).start()
def late(number, frame):
    raise TimeoutError("too late")
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.05)
""")
        self.assertEqual(handler.wait(), 1)
        self.assertIn("TimeoutError: too late", handler.log())
