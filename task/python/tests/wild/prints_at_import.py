import sys

print("loading", __name__)
sys.stderr.write("to stderr too\n")
sys.setrecursionlimit(5000)

from tigerflow.tasks import LocalTask  # noqa: E402


class Loud(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        print(input_file.read_text(), file=sys.stderr)
        output_file.write_text("loud")


Loud.cli()
