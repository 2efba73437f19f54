import contextlib

from tigerflow.logconfig import logger
from tigerflow.tasks import LocalAsyncTask


@contextlib.asynccontextmanager
async def session():
    yield "session"
    logger.info("session closed")


class Sessions(LocalAsyncTask):
    @staticmethod
    async def setup(context):
        context.stack = contextlib.AsyncExitStack()
        context.session = await context.stack.enter_async_context(session())

    @staticmethod
    @logger.catch(reraise=True)
    async def run(context, input_file, output_file):
        output_file.write_text(context.session)

    @staticmethod
    async def teardown(context):
        await context.stack.aclose()


Sessions.cli()
