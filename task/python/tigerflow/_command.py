"""Reading a task's command line: spelled, and refused, as click does."""

import difflib

from tigerflow._convert import convert
from tigerflow._errors import TaskError
from tigerflow._options import bounds, choices_of


class UsageError(Exception):
    """The command line is wrong. The message says how, in one line."""


def parse(options, arguments):
    """Returns {option: value} of what the arguments give, in their order. Raises UsageError.

    A value is a text, a list of texts for what is repeated or takes several, a bool, or a count.
    """
    flags = {flag: (option, True) for option in options for flag in option.flags}
    flags.update({flag: (option, False) for option in options for flag in option.off_flags})
    given, extra, rest = {}, [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            extra += rest
            break
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            take(flags, flag, [value] if equals else None, rest, given)
        elif argument.startswith("-") and len(argument) > 1:
            take_short(flags, argument, rest, given)
        else:
            extra.append(argument)
    if extra:
        plural = "s" if len(extra) > 1 else ""
        raise UsageError(f"Got unexpected extra argument{plural} ({' '.join(extra)})")
    return given


def take(flags, flag, attached, rest, given):
    """Notes the option of a long flag, with the value behind = if there is one, else with what follows."""
    if flag not in flags:
        raise UsageError(f"No such option: {flag}" + _possible(flag, flags))
    option, on = flags[flag]
    if option.count == 0:
        if attached is not None:
            raise UsageError(f"Option '{flag}' does not take a value")
        note(given, option, given.get(option, 0) + 1 if option.counted else on)
        return
    wanted = option.count or 1
    values = attached or []
    if len(values) + len(rest) < wanted:
        needs = "an argument" if wanted == 1 else f"{wanted} arguments"
        raise UsageError(f"Option '{flag}' requires {needs}")
    while len(values) < wanted:
        values.append(rest.pop(0))
    if option.repeated:
        note(given, option, given.get(option, []) + values)
    else:
        note(given, option, values if option.count else values[0])


def take_short(flags, argument, rest, given):
    """Notes what -x, -xVALUE or -xyz say; a long flag may be spelled with one dash only if it is declared so."""
    if argument in flags:
        take(flags, argument, None, rest, given)
        return
    letters = argument[1:]
    while letters:
        flag, letters = "-" + letters[0], letters[1:]
        if flag not in flags:
            raise UsageError(f"No such option: {flag}" + _possible(argument, flags))
        if flags[flag][0].count == 0:
            take(flags, flag, None, rest, given)
        else:
            take(flags, flag, [letters[1:] if letters.startswith("=") else letters] if letters else None, rest, given)
            return


def note(given, option, value):
    given.pop(option, None)  # the order is that of the last mention
    given[option] = value


def _possible(flag, flags):
    close = sorted(difflib.get_close_matches(flag, flags))
    if not close:
        return ""
    return f". Did you mean {close[0]}?" if len(close) == 1 else f" (Possible options: {', '.join(close)})"


def values(options, given):
    """Returns {name: value} of all given options, checked. Raises UsageError, TaskError."""
    checked = {option.name: check(option, value) for option, value in given.items()}
    for option in options:
        if option.required and option not in given and not _from_elsewhere(option):
            raise UsageError(f"Missing option '{option.shown_as}'")
    return checked


def check(option, value):
    """Returns the value as JSON has it; a param's own conversion is tried, for its complaints."""
    if option.param is None:
        return _integer(option, value) if option.kind is int else value
    try:
        option.param.value({option.name: value})
    except TaskError as error:
        raise _invalid(option, _complaint(option, value, error.reason)) from None
    return value


def _integer(option, value):
    try:
        return int(value)
    except ValueError:
        raise _invalid(option, f"{value!r} is not a valid integer") from None


def _complaint(option, value, reason):
    """Returns what click says of a value of the simple kinds; of others, the reason that the conversion gave."""
    wrong = next((item for item in value if not _fits(option.kind, item)), None) if option.repeated else value
    if option.count or wrong is None:
        return reason
    if option.kind in (int, float) and not _fits(option.kind, wrong):
        return f"{wrong!r} is not a valid {'integer' if option.kind is int else 'float'}"
    if option.kind in (int, float) and bounds(option.param) and reason.startswith("must be at "):
        return f"{option.kind(wrong)} is not in the range {bounds(option.param)}"
    choices = choices_of(option.kind)
    if choices is not None:
        return f"{wrong!r} is not one of {', '.join(map(repr, choices))}"
    return reason


def _fits(kind, value):
    try:
        convert(value, kind)
    except (ValueError, TypeError, ArithmeticError):
        return False
    return True


def _invalid(option, complaint):
    return UsageError(f"Invalid value for '{option.shown_as}': {complaint}")


def _from_elsewhere(option):
    return option.param is not None and option.param.variable() is not None
