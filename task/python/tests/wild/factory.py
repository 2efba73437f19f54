"""Makes its task classes by a function."""
from tigerflow.tasks import LocalTask


def make(name, convert):
    class Made(LocalTask):
        @staticmethod
        def run(context, input_file, output_file):
            output_file.write_text(convert(input_file.read_text()))

    Made.__name__ = name
    Made.__qualname__ = name
    return Made


Lower, Upper = make("Lower", str.lower), make("Upper", str.upper)

if __name__ == "__main__":
    Lower.cli()
