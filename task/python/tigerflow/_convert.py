"""Conversion of JSON values to what a param's annotation says."""

import collections.abc
import enum
import json
import pathlib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

UNIONS = (Union, getattr(types, "UnionType", Union))  # int | None, from Python 3.10
COLLECTIONS = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
}
TRUE = ("true", "yes", "on", "t", "y", "1")
FALSE = ("false", "no", "off", "f", "n", "0")


def convert(value, kind):
    """Returns value as the annotation ``kind`` wants it.

    Values that fit stay as they are. Raises ValueError, TypeError or ArithmeticError; expected(kind) says what was
    wanted. Annotations that are not types are not checked.
    """
    kind = bare(kind)
    origin = get_origin(kind) or kind
    if origin in UNIONS:
        return _convert_union(value, get_args(kind))
    if origin is Literal:
        return _choice(value, [(option, option) for option in get_args(kind)])
    if origin in COLLECTIONS:
        return _convert_collection(value, COLLECTIONS[origin], get_args(kind))
    if kind in (None, type(None)):
        return _choice(value, [(None, None)])
    if kind is Any or origin is object or not isinstance(origin, type):
        return value
    return _convert_class(value, origin)


def expected(kind):
    """Returns the words for what convert(…, kind) accepts, to follow "must be"."""
    kind = bare(kind)
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin in UNIONS:
        return " or ".join(expected(arg) for arg in args)
    if origin is Literal:
        return _one_of(args)
    if origin in COLLECTIONS:
        return "a list" + (f" ({', '.join('...' if a is ... else expected(a) for a in args)})" if args else "")
    if kind in (None, type(None)):
        return "null"
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return _one_of([member.value for member in origin])
    if isinstance(origin, type) and issubclass(origin, pathlib.PurePath):
        return "a path"
    words = {str: "text in quotes", bool: "true or false", int: "an integer", float: "a number", dict: "a mapping"}
    return words.get(origin) or f"a {getattr(origin, '__name__', origin)}"


def shown(value):
    """Returns value as JSON, cut to what fits a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def as_spelled(value, kind):
    """Returns the value of an enum that a text means but for its case; the text itself if there is none."""
    if not isinstance(value, str) or not (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        return value
    return next((m.value for m in kind if str(m.value).lower() == value.lower()), value)


def bare(kind):
    """Strips Annotated, NewType and ``type X = ...`` off an annotation."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


def _convert_union(value, kinds):
    for kind in sorted(kinds, key=lambda kind: type(value) is not kind):  # what fits as it stands comes first
        try:
            return convert(value, kind)
        except (ValueError, TypeError, ArithmeticError):
            continue
    raise ValueError


def _convert_collection(value, build, kinds):
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise TypeError
    if build is tuple and kinds and kinds[-1] is not ...:
        if len(value) != len(kinds):
            raise ValueError
        return tuple(convert(item, kind) for item, kind in zip(value, kinds))
    return build(convert(item, kinds[0]) if kinds else item for item in value)


def _convert_class(value, cls):
    if issubclass(cls, enum.Enum):
        return _choice(value, [(member.value, member) for member in cls])
    if cls is bool:
        return _convert_bool(value)
    if cls in (int, float):
        return _convert_number(value, cls)
    if isinstance(value, cls):
        return value
    if not isinstance(value, str) or cls is dict:
        raise TypeError
    return getattr(cls, "fromisoformat", cls)(value)  # date, datetime and time; else Path, UUID, Decimal and the like


def _convert_bool(value):
    text = str(value).lower() if isinstance(value, (bool, int, str)) else ""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError


def _convert_number(value, cls):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    number = cls(value)
    if isinstance(value, float) and number != value:
        raise ValueError  # 1.5 for an int
    return number


def _choice(value, options):
    for option, meant in options:
        if value is meant or _equal(value, option):
            return meant
    raise ValueError


def _equal(value, option):
    """Equal as the user wrote it: true is not 1, but "1" names an option 1."""
    if isinstance(value, str) and option is not None:
        return value == str(option)
    return value == option and isinstance(value, bool) == isinstance(option, bool)


def _one_of(options):
    return "one of " + ", ".join(json.dumps(option, default=str) for option in options)
