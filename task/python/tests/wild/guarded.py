"""The shortest module, with a guard."""
from tigerflow.tasks import LocalTask


class Shout(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(input_file.read_text().upper())


if __name__ == "__main__":
    Shout.cli()
