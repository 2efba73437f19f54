"""The modules of the authors' guide as they stand, with small real things in place of heavy imports."""

import sqlite3

from harness import HandlerTest

HELLO = '''
from pathlib import Path

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class HelloWorld(LocalTask):
    @staticmethod
    def setup(context: SetupContext):
        context.greeting = "Hello"
        print("Setup executed successfully!")

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        with open(input_file, "r") as f:
            content = f.read()

        new_content = context.greeting + ", " + content.upper()

        with open(output_file, "w") as f:
            f.write(new_content)

    @staticmethod
    def teardown(context: SetupContext):
        print("Teardown executed successfully!")


HelloWorld.cli()
'''

GREET = '''
from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Greet(LocalTask):
    class Params:
        greeting: Annotated[
            str,
            typer.Option(help="Greeting to prepend"),
        ] = "Hello"
        uppercase: Annotated[
            bool,
            typer.Option("--uppercase", help="Convert to uppercase"),
        ] = False

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        with open(input_file) as f:
            content = f.read()

        if context.uppercase:
            content = content.upper()

        result = f"{context.greeting}, {content}"

        with open(output_file, "w") as f:
            f.write(result)


Greet.cli()
'''

TRANSCRIBE = '''
from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import SlurmTask
from tigerflow.utils import SetupContext


class Transcribe(SlurmTask):
    class Params:
        model_file: Annotated[
            Path,
            typer.Option(help="Path to the Whisper model file"),
        ]

    @staticmethod
    def setup(context: SetupContext):
        import json

        context.model = json.loads(context.model_file.read_text())
        print("Model loaded successfully")

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        result = {"text": context.model[input_file.read_text()]}
        print(f"Transcription ran successfully for {input_file}")

        with open(output_file, "w") as f:
            f.write(result["text"])


Transcribe.cli()
'''

EMBED = '''
import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import LocalAsyncTask
from tigerflow.utils import SetupContext


class Embed(LocalAsyncTask):
    class Params:
        model: Annotated[
            str,
            typer.Option(help="Embedding model name"),
        ] = "voyage-3.5"

    @staticmethod
    async def setup(context: SetupContext):
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        context.server = await asyncio.start_server(answer, "127.0.0.1", 0)
        context.port = context.server.sockets[0].getsockname()[1]
        print("Session created successfully!")

    @staticmethod
    async def run(context: SetupContext, input_file: Path, output_file: Path):
        text = await asyncio.to_thread(input_file.read_text)
        reader, writer = await asyncio.open_connection("127.0.0.1", context.port)
        writer.write(f"{context.model}: {text.strip()}\\n".encode())
        result = (await reader.readline()).decode()
        writer.close()
        output_file.write_text(result)

    @staticmethod
    async def teardown(context: SetupContext):
        context.server.close()
        print("Session closed successfully!")


Embed.cli()
'''

INGEST = '''
import json
from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Ingest(LocalTask):
    class Params:
        db_path: Annotated[
            Path,
            typer.Option(help="Path to the database file"),
        ]

    @staticmethod
    def setup(context: SetupContext):
        import sqlite3

        conn = sqlite3.connect(str(context.db_path))  # Creates file if not existing
        print(f"Successfully connected to {context.db_path}")

        conn.execute("CREATE TABLE IF NOT EXISTS embeddings (id TEXT, embedding TEXT)")

        context.conn = conn

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        with open(input_file, "r") as f:
            content = json.load(f)

        embedding = content["data"][0]["embedding"]

        context.conn.execute(
            "INSERT INTO embeddings (id, embedding) VALUES (?, ?)",
            (input_file.stem, json.dumps(embedding)),
        )
        context.conn.commit()

    @staticmethod
    def teardown(context: SetupContext):
        context.conn.close()
        print("DB connection closed")


Ingest.cli()
'''


class GuideTest(HandlerTest):
    def test_hello_world(self):
        handler = self.ready(self.module(HELLO, "hello.py"))
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
                handler = self.ready(self.module(GREET, "greet.py"), params)
                reply, text = self.run_file(handler, "1", "you")
                self.assertEqual((reply["op"], text), ("done", want))

    def test_transcribe(self):
        model = self.folder / "model.json"
        model.write_text('{"video": "spoken"}')
        handler = self.ready(self.module(TRANSCRIBE, "transcribe.py"), {"model_file": str(model)})
        reply, text = self.run_file(handler, "1", "video")
        self.assertEqual((reply["op"], text), ("done", "spoken"))
        self.assertIn("Transcription ran successfully for", handler.log())

    def test_embed(self):
        handler = self.ready(self.module(EMBED, "embed.py"), {"model": "m"}, concurrency=5)
        targets = {}
        for number in range(20):
            source, targets[number] = self.files(str(number), f"text {number}\n")
            handler.run(number, source, targets[number], slot=number % 5)
        replies = [handler.reply() for _ in targets]
        self.assertEqual({r["op"] for r in replies}, {"done"}, replies)
        self.assertEqual(sorted(r["id"] for r in replies), list(targets))
        for number, target in targets.items():
            self.assertEqual(target.read_text(), f"M: TEXT {number}\n")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        self.assertEqual(handler.log(), "Session created successfully!\nSession closed successfully!\n")

    def test_ingest(self):
        database = self.folder / "results.db"
        handler = self.ready(self.module(INGEST, "ingest.py"), {"db_path": str(database)})
        good, text = self.run_file(handler, "77", '{"data": [{"embedding": [1.5]}]}')
        self.assertEqual((good["op"], text), ("done", ""))
        bad, _ = self.run_file(handler, "78", '{"data": []}', number=2)
        self.assertEqual((bad["op"], bad["type"], bad["message"]), ("error", "IndexError", "list index out of range"))
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        with sqlite3.connect(database) as rows:
            self.assertEqual(rows.execute("SELECT * FROM embeddings").fetchall(), [("77", "[1.5]")])
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
