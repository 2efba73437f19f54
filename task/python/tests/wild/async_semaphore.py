import asyncio

from tigerflow.tasks import LocalAsyncTask


class Gathered(LocalAsyncTask):
    @staticmethod
    async def setup(context):
        context.limit = asyncio.Semaphore(2)

    @staticmethod
    async def run(context, input_file, output_file):
        async def one(word):
            async with context.limit:
                await asyncio.sleep(0)
                return word[::-1]

        words = await asyncio.gather(*(one(word) for word in input_file.read_text().split()))
        output_file.write_text(" ".join(words))


Gathered.cli()
