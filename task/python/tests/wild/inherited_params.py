from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from tigerflow.tasks import LocalTask


class CommonParams:
    language: Annotated[str, typer.Option(help="Language code")] = "en"
    cache: Annotated[Optional[Path], typer.Option(help="Where to keep models")] = None


class Detect(LocalTask):
    class Params(CommonParams):
        threshold: Annotated[float, typer.Option(min=0, max=1)] = 0.5

    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(f"{context.language} {context.cache} {context.threshold}")


if __name__ == "__main__":
    Detect.cli()
