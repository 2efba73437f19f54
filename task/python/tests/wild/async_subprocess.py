import asyncio

from tigerflow.tasks import LocalAsyncTask


class Sorted(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        process = await asyncio.create_subprocess_exec(
            "sort", str(input_file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(err.decode())
        output_file.write_bytes(out)


Sorted.cli()
