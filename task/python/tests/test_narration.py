"""Narration: what happens is told in the log, in order with what user code prints."""

import json

from harness import HandlerTest

SYNC = """
    import os, sys
    from tigerflow.tasks import LocalTask
    print("imported", "TIGERFLOW_NARRATE" in os.environ)
    class A(LocalTask):
        @staticmethod
        def setup(context):
            print("setup")
        @staticmethod
        def run(context, input_file, output_file):
            print("run", input_file.stem, end="")
            if input_file.stem == "bad":
                raise ValueError
        @staticmethod
        def teardown(context):
            os.write(1, b"teardown\\n")
"""
ASYNC = SYNC.replace("LocalTask", "LocalAsyncTask").replace("    def ", "    async def ")


class NarrationTest(HandlerTest):
    def story(self, handler):
        """The log, with narration as the op and the file that it is about."""
        parts = handler.log_path.read_bytes().replace(b"\n", b"").split(b"\x1e")
        told = [parts[0].decode()]
        for part in parts[1:]:
            event, end = json.JSONDecoder().raw_decode(part.decode())
            told.append((event.pop("op"), *(str(value) for value in event.values())))
            told.append(part.decode()[end:])
        return [item for item in told if item]

    def test_in_order(self):
        for text in (SYNC, ASYNC):
            with self.subTest(text):
                handler = self.ready(self.module(text), env={"TIGERFLOW_NARRATE": "1"})
                good, bad = (self.files(name)[0] for name in ("good", "bad"))
                handler.run(1, good, good)
                handler.run(2, bad, bad)
                self.assertEqual([handler.reply()["op"], handler.reply()["op"]], ["done", "error"])
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
                want = [
                    "imported False",
                    ("setup",),
                    "setup",
                    ("ready",),
                    ("begin", str(good)),
                    "run good",
                    ("end", str(good), "True"),
                    ("begin", str(bad)),
                    "run bad",
                    ("end", str(bad), "False"),
                    ("teardown",),
                    "teardown",
                    ("bye",),
                ]
                self.assertEqual(self.story(handler), want)
                handler.log_path.write_text("")

    def test_none_unless_asked_for(self):
        handler = self.ready(self.module(SYNC))
        self.run_file(handler, "good")
        handler.teardown()
        self.assertNotIn("\x1e", handler.log())

    def test_user_code_that_closed_its_streams(self):
        module = self.module("""
            import os, sys
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                @staticmethod
                def setup(context):
                    sys.stdout.close()
                    sys.stderr = None
                    os.close(2)
                @staticmethod
                def run(context, input_file, output_file):
                    output_file.write_text("x")
        """)
        handler = self.ready(module, env={"TIGERFLOW_NARRATE": "1"})
        self.assertEqual(self.run_file(handler, "1")[1], "x")
