"""What ``cli()`` does where no worker is at work: a module run as a program."""

import sys


def main(cls):
    """Ends the program with status 2 (usage) and one line that says how a task is run."""
    if _is_multiprocessing_child():
        return
    print(
        f"{cls.__name__}: in this version a task module is run by `tigerflow run FILE`, "
        "where FILE is a Task that names the module under handler.python",
        file=sys.stderr,
    )
    sys.exit(2)


def _is_multiprocessing_child():
    """Children that multiprocessing spawns import the author's module again and must get past its cli() call."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
