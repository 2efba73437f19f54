import concurrent.futures
import multiprocessing

from tigerflow.tasks import LocalTask


def square(n):
    return n * n


class Squares(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        numbers = [int(n) for n in input_file.read_text().split()]
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
            output_file.write_text(" ".join(map(str, pool.map(square, numbers))))


if __name__ == "__main__":
    Squares.cli()
