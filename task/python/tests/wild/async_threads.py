import asyncio

from tigerflow.tasks import LocalAsyncTask


class Threaded(LocalAsyncTask):
    async def setup(self, context):
        self.loop = asyncio.get_running_loop()

    async def run(self, context, input_file, output_file):
        text = await self.loop.run_in_executor(None, input_file.read_text)
        await asyncio.wait_for(asyncio.to_thread(output_file.write_text, text.swapcase()), timeout=60)


if __name__ == "__main__":
    Threaded.cli()
