"""The talk with the worker: requests, replies, blame slots, file names, ends."""

import json
import os
import random
import threading
import unittest
from unittest import mock

from harness import HandlerTest, request, spelled

from tigerflow import _protocol

COPY = """
from tigerflow.tasks import LocalTask

class Copy(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_bytes(input_file.read_bytes())
"""

BLAMED = """
import os
from tigerflow.tasks import {kind}

class Blamed({kind}):
    @staticmethod
    {word} run(context, input_file, output_file):
        with open("current", "rb") as f:
            output_file.write_bytes(f.read())
        if input_file.read_text() == "raise":
            raise ValueError
        if input_file.read_text() == "die":
            os.kill(os.getpid(), 9)
"""
KINDS = (("LocalTask", "def"), ("LocalAsyncTask", "async def"))
FREE = b" " * 127 + b"\n"


class OrderTest(HandlerTest):
    def test_pipelined_requests_are_answered_in_order(self):
        handler = self.ready(self.module(COPY))
        pairs = [self.files(str(n), f"content {n}") for n in range(500)]
        messages = [request(n, source, target) for n, (source, target) in enumerate(pairs)]
        sender = threading.Thread(target=handler.send, args=messages)
        sender.start()
        self.assertEqual([handler.reply()["id"] for _ in pairs], list(range(500)))
        sender.join()
        for n, (_, target) in enumerate(pairs):
            self.assertEqual(target.read_text(), f"content {n}")

    def test_output_is_replaced(self):
        handler = self.ready(self.module("""
            import os
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                @staticmethod
                def run(context, input_file, output_file):
                    input_file.with_suffix(".new").write_text("new")
                    os.replace(input_file.with_suffix(".new"), output_file)
        """))
        self.assertEqual(self.run_file(handler, "1")[1], "new")


class NameTest(HandlerTest):
    def test_names(self):
        handler = self.ready(self.module(COPY))
        texts = ["plain", "with space", "new\nline", "-dash", "\u00e9\U0001f600", "x" * 250]
        names = [*(text.encode() for text in texts), b"\xff\xfe", b"caf\xe9"]
        for number, name in enumerate(names):
            with self.subTest(name):
                source = os.path.join(os.fsencode(self.folder), name)
                target = source + b".out"
                with open(source, "wb") as f:
                    f.write(name)
                handler.run(number, source, target)
                self.assertEqual(handler.reply()["op"], "done")
                with open(target, "rb") as f:
                    self.assertEqual(f.read(), name)

    def test_names_in_another_file_system_encoding(self):
        handler = self.ready(self.module(COPY), env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
        source = os.fsencode(self.folder) + "/\u00e9".encode()
        with open(source, "wb") as f:
            f.write(b"x")
        handler.run(1, source, source + b".out")
        self.assertEqual(handler.reply()["op"], "done")
        self.assertTrue(os.path.exists(source + b".out"))

    def test_printing_an_odd_name(self):
        handler = self.ready(self.module("""
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                @staticmethod
                def run(context, input_file, output_file):
                    print(input_file.name)
        """))
        handler.run(1, b"/\xff\xc3\xa9", b"/x")
        self.assertEqual(handler.reply()["op"], "done")
        self.assertEqual(handler.log(), "\\udcff\u00e9\n")

    def test_spelling(self):
        for name in (b"/a/b", b"/\xff", "/\u00e9".encode(), b'/"\\\x01'):
            sent = json.loads(json.dumps(spelled(name)))
            self.assertEqual(os.fsencode(_protocol.path(sent)), name)


class BlameTest(HandlerTest):
    def test_slot_holds_the_mark_while_user_code_runs(self):
        for kind, word in KINDS:
            with self.subTest(kind):
                handler = self.ready(self.module(BLAMED.format(kind=kind, word=word)))
                for number, (content, op) in enumerate((("", "done"), ("raise", "error"))):
                    source, target = self.files(str(number), content)
                    handler.run(number, source, target, slot=2, mark="a.txt 7")
                    self.assertEqual(handler.reply()["op"], op)
                    self.assertEqual(target.read_bytes()[256:], b"a.txt 7".ljust(127) + b"\n")
                    self.assertEqual(handler.blame()[2], FREE)

    def test_slot_of_a_crash_keeps_the_mark(self):
        handler = self.ready(self.module(BLAMED.format(kind="LocalTask", word="def")))
        source, target = self.files("1", "die")
        handler.run(1, source, target, mark="a.txt 7")
        self.assertEqual(handler.wait(), -9)
        self.assertEqual(handler.blame(), [b"a.txt 7".ljust(127) + b"\n"])

    def test_long_marks_fit_the_slot(self):
        handler = self.ready(self.module(BLAMED.format(kind="LocalTask", word="def")))
        source, target = self.files("1")
        handler.run(1, source, target, mark="m" * 300)
        self.assertEqual(handler.reply()["op"], "done")
        self.assertEqual(target.read_bytes(), b"m" * 127 + b"\n")

    def test_mark_that_cannot_be_written_fails_the_file_before_it_is_begun(self):
        written = []
        with mock.patch.object(_protocol.os, "pwrite", side_effect=OSError(28, "full")), self.assertRaises(OSError):
            _protocol.begin(request(1, "/a", "/b"))
        with mock.patch.object(_protocol.os, "pwrite", side_effect=OSError(28, "full")), mock.patch.object(
            _protocol, "write", written.append
        ):
            _protocol.end(request(1, "/a", "/b"), 0)
        self.assertEqual(json.loads(written[0])["op"], "done")


class EndTest(HandlerTest):
    def test_end_of_file(self):
        text = BLAMED + '\n    @staticmethod\n    {word} teardown(context):\n        print("torn down")\n'
        for kind, word in KINDS:
            with self.subTest(kind):
                handler = self.ready(self.module(text.format(kind=kind, word=word)))
                handler.close_requests()
                self.assertEqual(handler.wait(), 1)
                self.assertEqual(handler.log(), "")

    def test_end_of_file_before_setup(self):
        handler = self.start(self.module(COPY))
        handler.close_requests()
        self.assertEqual(handler.wait(), 1)

    def test_end_of_file_with_coroutines_in_flight(self):
        handler = self.ready(
            self.module("""
                import asyncio
                from tigerflow.tasks import LocalAsyncTask
                class A(LocalAsyncTask):
                    @staticmethod
                    async def run(context, input_file, output_file):
                        print("begun")
                        await asyncio.Event().wait()
            """)
        )
        handler.run(1, *self.files("1"))
        self.wait_for_log(handler, "begun\n")
        handler.close_requests()
        self.assertEqual(handler.wait(), 1)

    def test_worker_gone_while_replying(self):
        handler = self.ready(self.module(COPY))
        reading, handler.replies = handler.replies, os.open(os.devnull, os.O_RDONLY)
        os.close(reading)
        handler.run(1, *self.files("1"))
        self.assertEqual(handler.wait(), 1)

    def test_bad_requests(self):
        good = json.dumps({"op": "setup", "params": {}}).encode() + b"\n"
        for kind, word in KINDS:
            module = self.module(BLAMED.format(kind=kind, word=word))
            for first, second, message in (
                (b"no json\n", b"", "not a request: b'no json'"),
                (b"\xff\n", b"", "not a request: b'\\xff'"),
                (b"[1]\n", b"", "not a request: b'[1]'"),
                (b'"op"\n', b"", """not a request: b'"op"'"""),
                (b'{"op":"run"}\n', b"", "the first request must be setup, and alone"),
                (good, b'{"op":"dance"}\n', "unknown op 'dance'"),
                (good, b"{}\n", "not a request: b'{}'"),
            ):
                with self.subTest(message, kind=kind):
                    handler = self.start(module)
                    handler.send_raw(first)
                    if second:
                        self.assertEqual(handler.reply(), {"op": "ready"})
                        handler.send_raw(second)
                    self.assertEqual(handler.wait(), 1)
                    self.assertEqual(handler.log(), f"handler: {message}\n")
                    handler.log_path.unlink()


class ReaderTest(unittest.TestCase):
    """The splitting of input into requests, for input that comes in any pieces."""

    def test_pieces(self):
        randoms = random.Random(3)
        for _ in range(300):
            texts = ["\u00e9\\n\n" * randoms.randrange(50) for _ in range(randoms.randrange(1, 9))]
            sent = [{"op": "run", "text": text} for text in texts]
            data = b"".join(json.dumps(m, ensure_ascii=randoms.random() < 0.5).encode() + b"\n" for m in sent)
            cuts = sorted(randoms.sample(range(1, len(data)), min(len(data) - 1, randoms.randrange(6))))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
            reader, got = _protocol.Reader(), []
            with mock.patch.object(_protocol.os, "read", side_effect=pieces):
                for _ in pieces:
                    got += reader.read()
            self.assertEqual(got, sent)

    def test_any_line_is_a_request_or_refused(self):
        randoms = random.Random(4)
        good = json.dumps(request(1, "/a", "/b")).encode()
        for _ in range(20_000):
            line = bytearray(good)
            for _ in range(randoms.randrange(1, 4)):
                line[randoms.randrange(len(line))] = randoms.randrange(256)
            try:
                self.assertIn("op", _protocol.decode(bytes(line)))
            except _protocol.BadRequest as error:
                self.assertLess(len(str(error)), 1000)

    def test_nested_too_deep(self):
        with self.assertRaises(_protocol.BadRequest):
            _protocol.decode(b'{"op":' + b"[" * 500_000)
