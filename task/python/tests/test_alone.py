"""Task modules run alone, by the real engine: the guide's transcripts, and what the guide says of them."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from programs import DIRECTORIES, GUIDE, TIMEOUT, ProgramTest, environment, python

from tigerflow import _cli
from tigerflow._errors import TaskError

DEADLINE = 120  # seconds until a wait counts as failed
LONG_AGO = 1_000_000_000
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| ", re.MULTILINE)


def engine():
    """The engine of this checkout, or None where it is not built or cannot run modules."""
    try:
        path = _cli.find_engine({"PATH": "", _cli.ENGINE_VARIABLE: os.environ.get(_cli.ENGINE_VARIABLE, "")})
    except TaskError:
        return None
    known = subprocess.run([path, "task", "exec", "--help"], stdin=subprocess.DEVNULL, capture_output=True)
    return path if known.returncode == 0 else None


ENGINE = engine()


class Alone:
    """A module that runs until it is interrupted; its output is read on the way."""

    def __init__(self, arguments, cwd, **more):
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment(TIGERFLOW_BIN=ENGINE, **more),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            # Whoever runs the tests may ignore interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            start_new_session=True,
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.text += line

    def wait_for(self, condition):
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.poll()}:\n{self.text}")
            time.sleep(0.01)

    def stop(self, number=signal.SIGINT):
        """Sends a signal; returns the exit code and the output, with the times cut off its lines."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code, STAMP.sub("", self.text)

    def destroy(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()


@unittest.skipUnless(ENGINE, "bin/tigerflow is not built, or cannot run modules")
class AloneTest(ProgramTest):
    def setUp(self):
        super().setUp()
        (self.folder / "in").mkdir()
        (self.folder / "out").mkdir()

    def inputs(self, extension=".txt", **files):
        """Writes inputs, long ago: nobody waits until they are certainly complete."""
        for name, text in files.items():
            path = self.folder / "in" / f"{name}{extension}"
            path.write_text(text)
            os.utime(path, (LONG_AGO, LONG_AGO))

    def outputs(self):
        return {p.name: p.read_text() for p in (self.folder / "out").iterdir() if p.is_file()}

    def start(self, module, *arguments, extensions=(".txt", ".txt"), **more):
        directories = ("--input-dir", "in", "--input-ext", extensions[0], "--output-dir", "out", "--output-ext", extensions[1])
        alone = Alone([module, *directories, *arguments], self.folder, **more)
        self.addCleanup(alone.destroy)
        return alone

    def transcript(self, name, count, *arguments, **more):
        """Runs a module of the guide until count files are processed, then interrupts it."""
        more = {"PYTHONPATH": os.pathsep.join([environment()["PYTHONPATH"], str(GUIDE / "standins")]), **more}
        alone = self.start(GUIDE / f"{name}.py", *arguments, **more)
        alone.wait_for(lambda: alone.text.count("Successfully processed") == count)
        code, text = alone.stop()
        self.assertEqual(code, 130, text)
        return text.splitlines()

    def check_ends(self, lines, setup, teardown):
        """The lines before the first file and after the last."""
        head = ["INFO     | Setting up task", *setup, "INFO     | Task setup complete"]
        tail = [
            "WARNING  | Received signal 2, initiating shutdown",
            "INFO     | Shutting down task",
            *teardown,
            "INFO     | Task shutdown complete",
        ]
        self.assertEqual(lines[: len(head)], head)
        self.assertEqual(lines[-len(tail) :], tail)
        return lines[len(head) : -len(tail)]

    def check_one_by_one(self, lines, names):
        """A LocalTask starts a file when it is done with the one before."""
        pairs = [tuple(lines[i : i + 2]) for i in range(0, len(lines), 2)]
        want = [(f"INFO     | Starting processing: {n}", f"INFO     | Successfully processed: {n}") for n in names]
        self.assertEqual(sorted(pairs), sorted(want))

    def test_hello(self):
        self.inputs(**{str(n): f"world {n}" for n in range(1, 6)})
        lines = self.transcript("hello", 5)
        middle = self.check_ends(lines, ["Setup executed successfully!"], ["Teardown executed successfully!"])
        self.check_one_by_one(middle, [f"{n}.txt" for n in range(1, 6)])
        self.assertEqual(self.outputs(), {f"{n}.txt": f"Hello, WORLD {n}" for n in range(1, 6)})

    def test_greet(self):
        self.inputs(a="you")
        self.transcript("greet", 1, "--greeting", "Hi there", "--uppercase")
        self.assertEqual(self.outputs(), {"a.txt": "Hi there, YOU"})

    def test_embed(self):
        names = {f"{n:02}": f"text {n}" for n in range(40)}
        self.inputs(**names)
        lines = self.transcript(
            "embed", 40, "--concurrency-limit", "30", "--model", "voyage-4-lite",
            extensions=(".txt", ".json"), VOYAGE_API_KEY="secret",
        )  # fmt: skip
        middle = self.check_ends(lines, ["Session created successfully!"], ["Session closed successfully!"])
        for word in ("Starting processing", "Successfully processed"):
            self.assertEqual(sorted(l for l in middle if word in l), [f"INFO     | {word}: {n}.txt" for n in sorted(names)])
        self.assertEqual(len(self.outputs()), 40)

    def test_as_many_at_once_as_the_limit_says(self):
        self.inputs(**{f"{n:02}": "" for n in range(12)})
        module = self.module("""
            import asyncio
            from tigerflow.tasks import LocalAsyncTask
            waiting = []
            class Meet(LocalAsyncTask):
                @staticmethod
                async def run(context, input_file, output_file):
                    met = asyncio.get_running_loop().create_future()
                    waiting.append(met)
                    if len(waiting) == 6:
                        for one in waiting:
                            one.set_result(None)
                        waiting.clear()
                    await met
            Meet.cli()
        """)
        alone = self.start(module, "--concurrency-limit", "6")
        alone.wait_for(lambda: alone.text.count("Successfully processed") == 12)
        flight = most = 0
        for line in alone.text.splitlines():
            flight += ("Starting processing" in line) - ("Successfully processed" in line)
            most = max(most, flight)
        self.assertEqual(alone.stop()[0], 130)
        self.assertEqual(most, 6, alone.text)

    def test_ingest(self):
        self.inputs(".json", **{"1": '{"data": [{"embedding": [0.5]}]}', "2": '{"data": [{"embedding": [1.5]}]}'})
        database = self.folder / "test.db"
        lines = self.transcript("ingest", 2, "--db-path", str(database), extensions=(".json", ".out"))
        middle = self.check_ends(lines, [f"Successfully connected to {database}"], ["DB connection closed"])
        self.check_one_by_one(middle, ["1.json", "2.json"])
        self.assertEqual(self.outputs(), {"1.out": "", "2.out": ""})

    def test_echo(self):
        self.inputs(a="one")
        directories = ("--input-dir", "in", "--output-dir", "out", "--input-ext", ".txt", "--output-ext", ".txt")
        alone = Alone(["-m", "tigerflow.library.echo", *directories, "--prefix", ">>> "], self.folder)
        self.addCleanup(alone.destroy)
        alone.wait_for(lambda: "Successfully processed" in alone.text)
        self.assertEqual(alone.stop()[0], 130)
        self.assertEqual(self.outputs(), {"a.txt": ">>> one"})

    def test_installed_task(self):
        self.inputs(a="one")
        self.install("shouting", "shout = shouting:Shout\n", shouting="""
            '''Shout task - writes in capitals.'''
            from tigerflow.tasks import LocalTask
            class Shout(LocalTask):
                class Params:
                    mark: str = "!"
                @staticmethod
                def run(context, input_file, output_file):
                    output_file.write_text(input_file.read_text().upper() + context.mark)
        """)  # fmt: skip

        def tigerflow(*arguments):
            done = subprocess.run(
                [ENGINE, *arguments],
                env=environment(PYTHONPATH=str(self.folder / "site"), TIGERFLOW_IDLE_TIMEOUT="0s"),
                cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=TIMEOUT,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        self.assertIn("\n\nInstalled tasks:\n  shout (1.5) - Shout task - writes in capitals.\n", tigerflow("tasks", "list"))
        want = (
            "Task: shout\nSource: installed\nModule: shouting\nVersion: 1.5\n\n"
            "Description:\nShout task - writes in capitals.\n\nParameters for Shout:\n  --mark: !\n"
        )
        self.assertEqual(tigerflow("tasks", "info", "shout"), want)
        tigerflow("task", "run", "shout", *DIRECTORIES, "--mark", "?")
        self.assertEqual(self.outputs(), {"a.txt": "ONE?"})

    def test_slurm_is_refused_in_one_line(self):
        slurm = ("--max-workers", "3", "--cpus", "1", "--memory", "12G", "--time", "02:00:00", "--gpus", "1",
                 "--sbatch-option", "--mail-user=a@example.org", "--setup-command", "module purge", "--model-file", "m.pt")  # fmt: skip
        done = python(GUIDE / "transcribe.py", *DIRECTORIES, *slurm, cwd=self.folder, TIGERFLOW_BIN=ENGINE)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\A[^\n]*Transcribe is a Slurm task[^\n]*\n\Z")
        self.assertEqual(self.outputs(), {})

    def test_failed_file(self):
        self.inputs(a="x")
        module = self.module("""
            from tigerflow.tasks import LocalTask
            class Fails(LocalTask):
                @staticmethod
                def run(context, input_file, output_file):
                    print("before")
                    raise ValueError("no")
            Fails.cli()
        """)
        alone = self.start(module)
        alone.wait_for(lambda: "Failed processing" in alone.text)
        code, text = alone.stop(signal.SIGTERM)
        self.assertEqual(code, 143, text)
        want = [
            "INFO     | Starting processing: a.txt",
            "before",
            "ERROR    | Failed processing: a.txt",
            "WARNING  | Received signal 15, initiating shutdown",
        ]
        self.assertEqual([line for line in text.splitlines() if line in want], want)
        self.assertIn('"exception_type": "ValueError"', self.outputs()["a.err"])

    def test_files_that_come_later(self):
        self.inputs(a="one")
        alone = self.start(GUIDE / "greet.py")
        alone.wait_for(lambda: "Successfully processed: a.txt" in alone.text)
        self.inputs(b="two")
        alone.wait_for(lambda: "Successfully processed: b.txt" in alone.text)
        alone.stop()
        self.assertEqual(self.outputs(), {"a.txt": "Hello, one", "b.txt": "Hello, two"})

    def test_input_folder_absent(self):
        done = python(GUIDE / "hello.py", "--input-dir", "nowhere", *DIRECTORIES[2:], cwd=self.folder, TIGERFLOW_BIN=ENGINE)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("nowhere", done.stderr)
