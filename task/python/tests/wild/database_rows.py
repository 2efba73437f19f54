import sqlite3

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Rows(LocalTask):
    @staticmethod
    def setup(context: SetupContext):
        context.db = sqlite3.connect(":memory:")
        context.db.row_factory = sqlite3.Row
        with context.db:
            context.db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")

    @staticmethod
    def run(context: SetupContext, input_file, output_file):
        with context.db:
            context.db.execute("INSERT INTO t (text) VALUES (?)", (input_file.read_text(),))
        row = context.db.execute("SELECT * FROM t").fetchone()
        output_file.write_text(f"{row['id']} {row['text']}")

    @staticmethod
    def teardown(context: SetupContext):
        context.db.close()


Rows.cli()
