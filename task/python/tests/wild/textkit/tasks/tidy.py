"""Tidy task - one space between words."""
from . import PackageTask


class Tidy(PackageTask):
    pass


if __name__ == "__main__":
    Tidy.cli()
