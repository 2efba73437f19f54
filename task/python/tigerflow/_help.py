"""The help of a task's command line, in the frame that Rich draws.

How wide columns are when the terminal is narrow is the arithmetic of Rich's tables: the widest give way first.
"""

import shutil
import unicodedata

from tigerflow import tasks

SUMMARY = "Run the task as a CLI application"
# The long options of Slurm tasks stand in a column of this width at least, as the guide shows them.
SLURM_FLAGS = 16
ASCII_FRAME = str.maketrans("╭╮╰╯─│…", "++++-|~")


def render(program, cls, options, width=None):
    """Returns the help text, for a terminal of ``width`` columns (default: COLUMNS, the terminal, or 80)."""
    width = max(width or shutil.get_terminal_size((80, 24)).columns, 20)
    lines = [f"Usage: {program} [OPTIONS]", "", SUMMARY, ""]
    shown = [option for option in options if not option.hidden]
    for panel in dict.fromkeys(["Options"] + [option.panel for option in shown]):
        rows = [option for option in shown if option.panel == panel]
        if rows:
            lines += _panel(panel, rows, width, SLURM_FLAGS if issubclass(cls, tasks.SlurmTask) else 0)
    return "\n".join(lines) + "\n"


def in_encoding(text, encoding):
    """Returns text as it can be written in an encoding: with a frame in ASCII, and ? for letters, if need be."""
    try:
        text.encode(encoding or "ascii")
        return text
    except (UnicodeEncodeError, LookupError):
        return text.translate(ASCII_FRAME).encode("ascii", "replace").decode()


def _panel(title, options, width, least_flags):
    head = f"─ {title} "
    rows = [line for row in _table(options, width - 4, least_flags) for line in row]
    return [
        "╭" + head + "─" * (width - 2 - cells(head)) + "╮",
        *("│ " + _padded(line, width - 4) + " │" for line in rows),
        "╰" + "─" * (width - 2) + "╯",
    ]


def _table(options, width, least_flags):
    """Returns the lines of each option's row."""
    marks = any(option.marked for option in options)
    rows = [_row(option, marks) for option in options]
    wanted = [max(cells(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    wanted[-5] = max(wanted[-5], least_flags)
    # Two spaces between columns; the help takes what there is.
    last = len(wanted)
    widths = _narrowed([w + (1 if i == 0 else 2) for i, w in enumerate(wanted)] + [width], width)
    inner = [max(w - (1 if i in (0, last) else 2), 0) for i, w in enumerate(widths)]
    table = []
    for option, row in zip(options, rows):
        columns = [_wrapped(text, w, fold=i == last - 1) for i, (text, w) in enumerate(zip(row, inner))]
        columns[-1] = _help(option, inner[-1])
        height = max(len(column) for column in columns)
        table.append([_line(columns, inner, i) for i in range(height)])
    return table


def _line(columns, inner, i):
    return "  ".join(_padded(column[i] if i < len(column) else "", w) for column, w in zip(columns, inner))


def _row(option, marks):
    long = [flag for flag in option.flags if flag.startswith("--")]
    short = [flag for flag in option.flags if not flag.startswith("--")]
    off_long = [flag for flag in option.off_flags if flag.startswith("--")]
    off_short = [flag for flag in option.off_flags if not flag.startswith("--")]
    row = [",".join(flags) for flags in (long, short, off_long, off_short)]
    return [["*" if option.marked else ""], []][not marks] + row + [option.metavar, ""]


def _help(option, width):
    """The words about an option; its default and whether it is required go on the same line if they fit there."""
    items = [option.help, *option.default_text.split("\n"), "[required]" if option.marked else ""]
    items = [item for item in items if item]
    for count in range(len(items), 1, -1):
        columns = [items[i::count] for i in range(count)]
        widths = [max(cells(line) for item in column for line in item.split("\n")) for column in columns]
        if sum(widths) + count - 1 <= width:
            return [line for i in range(0, len(items), count) for line in _beside(items[i : i + count], widths)]
    return [line for item in items for line in _wrapped(item, width)] or [""]


def _beside(items, widths):
    split = [item.split("\n") for item in items]
    return [
        " ".join(_padded(lines[i] if i < len(lines) else "", w) for lines, w in zip(split, widths)).rstrip()
        for i in range(max(map(len, split)))
    ]


def _narrowed(widths, limit):
    """Takes from the widest columns, down to the second widest, until all fit; then from all alike."""
    excess = sum(widths) - limit
    while excess > 0:
        widest = max(widths)
        second = max((w for w in widths if w != widest), default=widest)
        if widest == second:
            break
        reduced = _reduced(widths, excess, [min(excess, widest - second) if w == widest else 0 for w in widths])
        excess -= sum(widths) - sum(reduced)
        widths = reduced
    return _reduced(widths, excess, widths) if excess > 0 else widths


def _reduced(widths, excess, limits):
    """Spreads excess evenly over the columns that have a limit above 0."""
    left, taken = sum(limit > 0 for limit in limits), []
    for limit in limits:
        share = min(limit, round(excess / left)) if limit > 0 and left else 0
        taken.append(share)
        excess -= share
        left -= limit > 0
    return [w - share for w, share in zip(widths, taken)]


def _wrapped(text, width, fold=False):
    """Breaks text at spaces. A word that is too long is broken anywhere (fold) or cut."""
    if width < 1:
        return [""]
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if cells(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = _pieces(word, width) if fold else [_cut(word, width)]
            lines += full
        lines.append(line)
    return lines


def _pieces(word, width):
    pieces = [""]
    for character in word:
        if cells(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _cut(word, width):
    if cells(word) <= width:
        return word
    while word and cells(word) > width - 1:
        word = word[:-1]
    return word + "…"


def _padded(text, width):
    return text + " " * (width - cells(text))


def cells(text):
    """Returns how many columns of a terminal text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
