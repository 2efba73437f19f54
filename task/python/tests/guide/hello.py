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
