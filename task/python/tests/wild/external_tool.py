import subprocess

from tigerflow.tasks import LocalTask


class Tr(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(input_file, "rb") as source, open(output_file, "wb") as target:
            subprocess.run(["tr", "a-z", "A-Z"], stdin=source, stdout=target, check=True)


Tr.cli()
