import contextlib

from tigerflow.tasks import LocalTask


@contextlib.contextmanager
def connection():
    print("opened")
    yield {"greeting": "hi"}
    print("closed")


class Stacked(LocalTask):
    @staticmethod
    def setup(context):
        context.stack = contextlib.ExitStack()
        context.connection = context.stack.enter_context(connection())

    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(context.connection["greeting"])

    @staticmethod
    def teardown(context):
        context.stack.close()


Stacked.cli()
