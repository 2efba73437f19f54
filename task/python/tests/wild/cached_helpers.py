import functools
import operator

from tigerflow.tasks import LocalTask


@functools.lru_cache(maxsize=None)
def factorial(n):
    return functools.reduce(operator.mul, range(1, n + 1), 1)


class Factorials(LocalTask):
    convert = staticmethod(functools.partial(int, base=10))

    @classmethod
    def run(cls, context, input_file, output_file):
        output_file.write_text(" ".join(str(factorial(cls.convert(n))) for n in input_file.read_text().split()))


Factorials.cli()
