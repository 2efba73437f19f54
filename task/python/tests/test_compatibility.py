"""docs/compatibility.md names tests that exist."""

import re
import unittest
from pathlib import Path

from harness import PACKAGE_ROOT

REPOSITORY = PACKAGE_ROOT.parent.parent
PAGE = REPOSITORY / "docs" / "compatibility.md"


@unittest.skipUnless(PAGE.is_file(), "not in a checkout of the repository")
class CompatibilityTest(unittest.TestCase):
    def test_every_row_names_tests_that_exist(self):
        rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
        rows = [row for row in rows if not row.startswith("| behaviour")]
        self.assertGreater(len(rows), 30)
        for row in rows:
            with self.subTest(row):
                named = list(self.named(row.split(" | ")[-1]))
                self.assertTrue(named)
                for file, test in named:
                    source = self.path(file).read_text(encoding="utf-8")
                    self.assertRegex(source, rf"(?m)^(    def {test}\(self|func {test}\(t \*testing\.T)")

    def named(self, cell):
        """The (file, test) pairs of a row's last cell."""
        for part in cell.strip(" |").split(";"):
            file, *tests = re.findall(r"`([^`]+)`", part)
            self.assertTrue(tests, part)
            yield from ((file, test) for test in tests)

    def path(self, file):
        return (PACKAGE_ROOT if file.startswith("tests/") else REPOSITORY) / file
