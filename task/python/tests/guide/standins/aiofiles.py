"""Stands in for aiofiles: files whose methods run in threads."""

import asyncio
import builtins


class _File:
    def __init__(self, arguments):
        self._arguments = arguments

    async def __aenter__(self):
        self._file = await asyncio.to_thread(builtins.open, *self._arguments)
        return self

    async def __aexit__(self, *error):
        await asyncio.to_thread(self._file.close)

    async def read(self):
        return await asyncio.to_thread(self._file.read)

    async def write(self, text):
        return await asyncio.to_thread(self._file.write, text)


def open(*arguments):
    return _File(arguments)
