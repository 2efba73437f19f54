"""Stands in for duckdb with sqlite3: every statement is committed, and lists are stored as JSON."""

import json
import sqlite3


class Connection:
    def __init__(self, path):
        self._connection = sqlite3.connect(path, isolation_level=None)

    def execute(self, statement, values=()):
        plain = [json.dumps(value) if isinstance(value, list) else value for value in values]
        return self._connection.execute(statement, plain)

    def close(self):
        self._connection.close()


def connect(path):
    return Connection(path)
