"""Echo task - copies input to output with optional transformations."""

from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Echo(LocalTask):
    """Copies the bytes of each file between a prefix and a suffix; only ``uppercase`` takes them for UTF-8 text."""

    class Params:
        prefix: Annotated[str, typer.Option(help="Text to put before the content")] = ""
        suffix: Annotated[str, typer.Option(help="Text to put after the content")] = ""
        uppercase: Annotated[bool, typer.Option("--uppercase", help="Convert the content to uppercase")] = False

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        content = input_file.read_bytes()
        if context.uppercase:
            content = content.decode("utf-8", "surrogateescape").upper().encode("utf-8", "surrogateescape")
        output_file.write_bytes(context.prefix.encode() + content + context.suffix.encode())


if __name__ == "__main__":
    Echo.cli()
