"""Collects the lines of a source file that carry a marker such as TODO."""

from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Markers(LocalTask):
    class Params:
        marker: Annotated[
            str,
            typer.Option(help="What to look for"),
        ] = "TODO"

    @staticmethod
    def setup(context: SetupContext):
        import re

        context.pattern = re.compile(rb"\b" + re.escape(context.marker.encode()) + rb"\b")
        print(f"Looking for {context.marker}")

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        lines = input_file.read_bytes().splitlines()
        found = [line.strip() + b"\n" for line in lines if context.pattern.search(line)]
        output_file.write_bytes(b"".join(found))

    @staticmethod
    def teardown(context: SetupContext):
        print("Done looking")


Markers.cli()
