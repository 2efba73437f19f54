"""Options as default values, the way of typer before Annotated."""
from pathlib import Path

import typer

from tigerflow.tasks import LocalTask


class Wrap(LocalTask):
    class Params:
        width: int = typer.Option(10, "--width", "-w", min=1, help="Columns")
        indent: str = typer.Option("", help="Put before each line")
        header: Path = typer.Option(..., help="A file whose text comes first")

    @staticmethod
    def run(context, input_file, output_file):
        import textwrap

        lines = textwrap.wrap(input_file.read_text(), context.width, initial_indent=context.indent)
        output_file.write_text("|".join([context.header.name, *lines]))


Wrap.cli()
