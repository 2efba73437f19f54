"""What the worker is told when user code raises."""

import json
import unittest

from harness import HandlerTest

from tigerflow import _errors

RAISER = """
import sys
from tigerflow.tasks import LocalTask

class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class Nasty(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("no notes")

def deep(n):
    return deep(n + 1)

class A(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        exec(input_file.read_text(), globals() | {"context": context, "input_file": input_file})
"""
RAISER = RAISER.replace("globals() | {", "{**globals(), ")


class RunErrorTest(HandlerTest):
    def errors_of(self, *codes):
        """Runs code as user code, all in one handler; returns the replies."""
        handler = self.ready(self.module(RAISER))
        replies = []
        for number, code in enumerate(codes):
            reply, _ = self.run_file(handler, str(number), code, number)
            self.assertEqual((reply["op"], reply["id"]), ("error", number))
            replies.append(reply)
        self.assertEqual(self.run_file(handler, "last", "pass")[0]["op"], "done")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        return replies

    def test_kinds(self):
        cases = [
            ("raise ValueError('wrong')", "ValueError", "wrong", None),
            ("1 / 0", "ZeroDivisionError", "division by zero", None),
            ("raise ValueError", "ValueError", "", None),
            ("sys.exit(3)", "SystemExit", "3", None),
            ("raise KeyboardInterrupt", "KeyboardInterrupt", "", None),
            ("bytearray(1 << 60)", "MemoryError", "", None),
            ("raise GeneratorExit", "GeneratorExit", "", None),
            ("raise BadText", "BadText", "<exception str() failed>", None),
            ("raise Nasty('x')", "Nasty", "x", None),
            ("raise ValueError('\\udce9 \\u00e9')", "ValueError", "\\udce9 \u00e9", None),
            ("open('/nowhere')", "FileNotFoundError", "[Errno 2] No such file or directory: '/nowhere'", 2),
            ("raise OSError(28, 'No space left on device')", "OSError", "[Errno 28] No space left on device", 28),
            ("raise OSError(110, 'out of reach', 'x')", "TimeoutError", "[Errno 110] out of reach: 'x'", 110),
            ("raise OSError(110, 'of a socket')", "TimeoutError", "[Errno 110] of a socket", None),
            ("raise OSError('no number')", "OSError", "no number", None),
            ("raise OSError([1], 'odd')", "OSError", "[Errno [1]] odd", None),
            ("import socket; raise socket.gaierror(-2, 'unknown')", "gaierror", "[Errno -2] unknown", None),
            ("import ssl; raise ssl.SSLError(5, 'EOF')", "SSLError", None, None),
            ("context.x = 1", "AttributeError", "Cannot modify frozen SetupContext: tried to set 'x'", None),
            ("del context.x", "AttributeError", "Cannot modify frozen SetupContext: tried to delete 'x'", None),
            ("input()", "EOFError", "EOF when reading a line", None),
        ]
        replies = self.errors_of(*(case[0] for case in cases))
        for (code, kind, message, errno), reply in zip(cases, replies):
            with self.subTest(code):
                self.assertEqual((reply["type"], reply.get("errno")), (kind, errno))
                self.assertEqual(reply["message"], reply["message"] if message is None else message)
                self.assertGreater(reply["seconds"], 0)
                self.assertIn(kind, reply["traceback"])

    def test_traceback_begins_with_the_authors_frames(self):
        (reply,) = self.errors_of("try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('wrong') from e")
        lines = reply["traceback"].splitlines()
        self.assertEqual(lines[0], "Traceback (most recent call last):")
        self.assertIn("ZeroDivisionError: division by zero", lines)
        self.assertEqual(lines[-1], "ValueError: wrong")
        self.assertNotIn("_handler.py", reply["traceback"])
        last = lines[lines.index("Traceback (most recent call last):", 1) :]
        self.assertRegex(last[1], r'File ".*/task.py", line \d+, in run')

    def test_no_frame_of_the_author(self):
        handler = self.ready(self.module("""
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                @staticmethod
                def run(context): pass
        """))
        reply, _ = self.run_file(handler, "1")
        self.assertEqual(reply["type"], "TypeError")
        self.assertEqual(reply["traceback"], f"TypeError: {reply['message']}\n")

    def test_run_that_returns_what_was_to_run(self):
        for word, kind in (("async def", "coroutine"), ("def", "generator")):
            with self.subTest(kind):
                module = self.module(f"""
                    from tigerflow.tasks import LocalTask
                    def decorated(f):
                        return lambda *args: f(*args)
                    class A(LocalTask):
                        @staticmethod
                        @decorated
                        {word} run(context, input_file, output_file):
                            {"pass" if kind == "coroutine" else "yield"}
                """)
                reply, _ = self.run_file(self.ready(module), "1")
                self.assertEqual((reply["op"], reply["type"]), ("error", "TypeError"))
                self.assertTrue(reply["message"].startswith(f"run returned a {kind} and did nothing"), reply)

    def test_recursion(self):
        (reply,) = self.errors_of("deep(0)")
        self.assertEqual(reply["type"], "RecursionError")
        self.assertIn("more times]", reply["traceback"])

    def test_long_texts_are_cut(self):
        (reply,) = self.errors_of("raise ValueError('\\u00e9' * 3_000_000 + 'end')")
        self.assertEqual(reply["message"], "\u00e9" * (_errors.MESSAGE_LIMIT // 2))
        self.assertEqual(len(reply["traceback"].encode()), _errors.TRACEBACK_LIMIT)
        self.assertTrue(reply["traceback"].endswith("\u00e9end\n"))

    def test_no_descriptors_left(self):
        code = "import resource, os\nfiles = []\nwhile True: files.append(open('/dev/null'))"
        (reply,) = self.errors_of(code)
        self.assertEqual((reply["type"], reply["errno"]), ("OSError", 24))

    def test_output_folder_gone(self):
        handler = self.ready("tigerflow.library.echo")
        source, target = self.files("1")
        handler.run(1, source, target.parent / "gone" / "x")
        self.assertEqual(handler.reply()["errno"], 2)


class StageErrorTest(HandlerTest):
    TASK = """
    from tigerflow.tasks import {kind}
    class A({kind}):
        @staticmethod
        {word} setup(context):
            {setup}
        @staticmethod
        {word} run(context, input_file, output_file): pass
        @staticmethod
        {word} teardown(context):
            {teardown}
    """
    KINDS = (("LocalTask", "def"), ("SlurmTask", "def"), ("LocalAsyncTask", "async def"))

    def test_setup_raises(self):
        for kind, word in self.KINDS:
            for name in ("ValueError", "SystemExit"):
                with self.subTest(kind=kind, raised=name):
                    setup, teardown = f"raise {name}('no model')", "print('torn down')"
                    text = self.TASK.format(kind=kind, word=word, setup=setup, teardown=teardown)
                    handler = self.start(self.module(text))
                    failed = handler.setup()
                    self.assertEqual((failed["op"], failed["stage"]), ("failed", "setup"))
                    self.assertEqual((failed["type"], failed["message"]), (name, "no model"))
                    self.assertRegex(failed["traceback"], r'^Traceback .*\n  File ".*/task.py", line \d+, in setup\n')
                    self.assertEqual(handler.wait(), 1)
                    self.assertEqual(handler.log(), "")

    def test_teardown_raises(self):
        for kind, word in self.KINDS:
            with self.subTest(kind):
                text = self.TASK.format(kind=kind, word=word, setup="pass", teardown="raise OSError(5, 'lost')")
                failed, status = self.ready(self.module(text)).teardown()
                self.assertEqual((failed["op"], failed["stage"], failed["errno"]), ("failed", "teardown", 5))
                self.assertEqual(status, 0)


class DescribeTest(unittest.TestCase):
    def test_a_line_never_exceeds_the_limit(self):
        for char in ("\x00", "\u00e9", "\U0001f600", "\udcff", '"'):
            text = char * 300_000
            fields = _errors.describe(ValueError(text))
            self.assertLess(len(json.dumps(fields)), 1 << 20)
            self.assertLessEqual(len(fields["message"].encode()), _errors.MESSAGE_LIMIT)
            self.assertLessEqual(len(fields["traceback"].encode()), _errors.TRACEBACK_LIMIT)
