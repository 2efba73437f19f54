"""Methods with self: state on the instance rather than in the context."""
from tigerflow.tasks import LocalTask


class Numbered(LocalTask):
    def setup(self, context):
        self.count = 0

    def run(self, context, input_file, output_file):
        self.count += 1
        output_file.write_text(f"{self.count}: {self._first(input_file)}")

    def _first(self, path):
        return path.read_text().split()[0]

    def teardown(self, context):
        print(f"{self.count} in all")


Numbered.cli()
