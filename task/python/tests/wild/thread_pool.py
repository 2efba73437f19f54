from concurrent.futures import ThreadPoolExecutor

from tigerflow.tasks import LocalTask


class Parallel(LocalTask):
    @staticmethod
    def setup(context):
        context.pool = ThreadPoolExecutor(4)

    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text("".join(context.pool.map(str.upper, input_file.read_text())))

    @staticmethod
    def teardown(context):
        context.pool.shutdown()


Parallel.cli()
