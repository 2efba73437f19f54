import functools
import time

from tigerflow.tasks import LocalTask


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            print(f"{function.__name__} took {time.perf_counter() - start >= 0}")

    return wrapper


class Timed(LocalTask):
    @staticmethod
    @timed
    def run(context, input_file, output_file):
        output_file.write_text("timed")


Timed.cli()
