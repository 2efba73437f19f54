from pathlib import Path
from typing import Annotated

import typer

from tigerflow.tasks import SlurmTask
from tigerflow.utils import SetupContext


class Classify(SlurmTask):
    class Params:
        labels: Annotated[list, typer.Option("--label", help="A label; repeatable")]
        device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu"

    @staticmethod
    def setup(context: SetupContext):
        import random as torch

        context.model = torch.Random(7)
        print(f"Model on {context.device}", flush=True)

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        output_file.write_text(context.labels[len(input_file.read_text()) % len(context.labels)])


Classify.cli()
