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
