"""The modules of the authors' guide, verbatim, with small real modules in place of the heavy imports."""

import json
import sqlite3

from harness import PACKAGE_ROOT, HandlerTest
from programs import GUIDE

STANDINS = GUIDE / "standins"


class GuideTest(HandlerTest):
    def guide(self, name, params=None, concurrency=1, **env):
        root = f"{PACKAGE_ROOT}:{STANDINS}"
        return self.ready(GUIDE / f"{name}.py", params, concurrency, root=root, env=env)

    def test_hello_world(self):
        handler = self.guide("hello")
        reply, text = self.run_file(handler, "1", "world")
        self.assertEqual(text, "Hello, WORLD")
        self.assertEqual((reply["op"], reply["id"]), ("done", 1))
        self.assertTrue(0 < reply["seconds"] < 30, reply)
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log(), "Setup executed successfully!\nTeardown executed successfully!\n")

    def test_greet(self):
        for params, want in (
            ({}, "Hello, you"),
            ({"greeting": "Hi there", "uppercase": True}, "Hi there, YOU"),
            ({"uppercase": "yes"}, "Hello, YOU"),
        ):
            with self.subTest(params):
                reply, text = self.run_file(self.guide("greet", params), "1", "you")
                self.assertEqual((reply["op"], text), ("done", want))

    def test_transcribe(self):
        model = self.folder / "medium.pt"
        model.write_text("heard:\n")
        handler = self.guide("transcribe", {"model_file": str(model)})
        reply, text = self.run_file(handler, "1", "a video")
        self.assertEqual((reply["op"], text), ("done", "heard: a video"))
        self.assertEqual(
            handler.log(),
            f"Model loaded successfully\nTranscription ran successfully for {self.folder}/1.in\n",
        )

    def test_embed(self):
        handler = self.guide("embed", {"model": "voyage-4-lite"}, 20, VOYAGE_API_KEY="secret")
        targets = {}
        for number in range(20):
            source, targets[number] = self.files(str(number), f"{number} ab\n")
            handler.run(number, source, targets[number], slot=number)
        replies = [handler.reply() for _ in targets]
        self.assertEqual({r["op"] for r in replies}, {"done"}, replies)
        self.assertEqual(sorted(r["id"] for r in replies), list(targets))
        for number, target in targets.items():
            embedding = [float(ord(letter)) for letter in f"{number} ab"[:4]]
            self.assertEqual(
                json.loads(target.read_text()), {"data": [{"embedding": embedding}], "model": "voyage-4-lite"}
            )
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log(), "Session created successfully!\nSession closed successfully!\n")

    def test_embed_with_a_wrong_key(self):
        handler = self.guide("embed", VOYAGE_API_KEY="wrong")
        reply, _ = self.run_file(handler, "1", "text")
        self.assertEqual((reply["type"], reply["message"]), ("ClientResponseError", "401, message='Unauthorized'"))

    def test_ingest(self):
        database = self.folder / "results.db"
        handler = self.guide("ingest", {"db_path": str(database)})
        good, text = self.run_file(handler, "77", '{"data": [{"embedding": [1.5]}]}')
        self.assertEqual((good["op"], text), ("done", ""))
        bad, _ = self.run_file(handler, "78", '{"data": []}', number=2)
        self.assertEqual((bad["op"], bad["type"], bad["message"]), ("error", "IndexError", "list index out of range"))
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log(), f"Successfully connected to {database}\nDB connection closed\n")
        with sqlite3.connect(database) as rows:
            self.assertEqual(rows.execute("SELECT id, embedding FROM embeddings").fetchall(), [(77, "[1.5]")])
        rows.close()

    def test_echo(self):
        content = "stra\u00dfe\r\n"
        for params, want in (
            ({}, content),
            ({"prefix": ">>> ", "suffix": "!"}, f">>> {content}!"),
            ({"uppercase": True}, "STRASSE\r\n"),
        ):
            with self.subTest(params):
                handler = self.ready("tigerflow.library.echo", params)
                self.assertEqual(self.echoed(handler, content.encode()), want.encode())

    def test_echo_copies_bytes_that_are_no_text(self):
        handler = self.ready("tigerflow.library.echo:Echo", {"uppercase": True})
        self.assertEqual(self.echoed(handler, b"\xff\x00a"), b"\xff\x00A")

    def echoed(self, handler, content):
        source, target = self.files("1")
        source.write_bytes(content)
        handler.run(1, source, target)
        self.assertEqual(handler.reply()["op"], "done")
        return target.read_bytes()
