"""What classes and functions contain, and what their code does, without running it. In doubt: more than is allowed."""

import dis
import inspect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from itertools import pairwise, takewhile
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from django.views import View

__all__ = [
    "ANY",
    "attribute_of",
    "attributes_stored",
    "calls_super_dispatch",
    "cells_of",
    "keeps_self",
    "may_skip",
    "members_named",
    "module_of",
]

ANY = "*"
"""A placeholder that means every name."""

# Code that uses these may set attributes whose names it does not contain.
_OBSCURE = {"__dict__", "__self__", "__setattr__", "eval", "exec", "locals", "setattr", "vars"}

# Instructions that have different names in different Python versions, and instructions to ignore.
_SAME = {"LOAD_METHOD": "LOAD_ATTR", "LOAD_SUPER_ATTR": "LOAD_ATTR"}
_FILLERS = {"COPY", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL"}


class _Instruction(NamedTuple):
    """One instruction: its kind, its name or number, and where its expression starts and ends in the source."""

    kind: str
    name: Any
    start: tuple[int, int]
    end: tuple[int, int]


@lru_cache(maxsize=4096)
def attributes_stored(code: CodeType) -> Set[str]:
    """The names of attributes that code sets on any object; `ANY` if the code does not show the names."""
    names = {each.name for each in _instructions(code) if each.kind == "STORE_ATTR"}
    # A list can be changed without an assignment.
    names |= {"http_method_names"}.intersection(code.co_names)
    return names | ({ANY} if _OBSCURE.intersection(code.co_names) else set())


@lru_cache(maxsize=4096)
def keeps_self(code: CodeType) -> bool:
    """Whether a method uses ``self`` only for attributes, and adds no keywords for ``super().__init__()``."""
    found = _instructions(code)
    me = _name_of_self(code)
    of_super = [index for index in range(len(found)) if _is_of_super(found, index, me)]
    return (
        bool(me)
        and all(after.kind in ("LOAD_ATTR", "STORE_ATTR") for before, after in pairwise(found) if before.name == me)
        and len(of_super) == sum(each.name == "super" for each in found)
        and all(_adds_no_keywords(code, index) for index, each in enumerate(found) if each.name == "__init__")
    )


def _adds_no_keywords(code: CodeType, index: int) -> bool:
    """Whether the ``__init__`` at this instruction is called only with the ``*args, **kwargs`` of the method itself."""
    found = _instructions(code)
    first = code.co_argcount + code.co_kwonlyargcount
    count = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    own = ("", *code.co_varnames[first : first + count])
    arguments = takewhile(lambda each: not each.kind.startswith("CALL"), found[index + 1 :])
    uses = [after for before, after in pairwise(found) if before.name == own[-1]]
    reads = [each for each in uses if each.kind == "LOAD_ATTR" and each.name in ("get", "pop")]
    handed_on = [each for each in uses if each.kind in ("DICT_MERGE", "CALL_FUNCTION_EX")]
    is_alike = len(uses) == len(reads) + len(handed_on) and all(
        each.name in (None, (), 0, 1, *own) for each in arguments
    )
    return is_alike and _is_called(found, index)


def calls_super_dispatch(function: Any, owner: type) -> bool:
    """Whether the ``dispatch`` of a class calls ``super().dispatch(...)``, and names no other ``dispatch``."""
    if not isinstance(function, FunctionType) or "super" in function.__globals__:
        return False
    code = function.__code__
    found = _instructions(code)
    named = [index for index, each in enumerate(found) if each.name == "dispatch"]
    calls = [_is_of_super(found, index, _name_of_self(code)) and _is_called(found, index) for index in named]
    within = any("dispatch" in each.co_names for each in code.co_consts if isinstance(each, CodeType))
    return any(calls) and all(calls) and not within and cells_of(function).get("__class__") is owner


def _name_of_self(code: CodeType) -> str:
    return code.co_varnames[0] if code.co_argcount else ""


def _is_of_super(found: Sequence[_Instruction], index: int, me: str) -> bool:
    """Whether an instruction looks up an attribute of ``super()``. Python 3.11 does not show its arguments."""
    before = [(each.kind, each.name) for each in found[max(index - 3, 0) : index]]
    is_bare = before[-2:] == [("LOAD_GLOBAL", "super"), ("CALL", 0)]
    is_shown = before[:2] == [("LOAD_GLOBAL", "super"), ("LOAD_DEREF", "__class__")] and before[-1][1] == me
    return found[index].kind == "LOAD_ATTR" and (is_bare or is_shown)


def _is_called(found: Sequence[_Instruction], index: int) -> bool:
    """Whether the value of an instruction is called at once: the next larger expression with its start is a call."""
    longer = [each for each in found if each.start == found[index].start and each.end > found[index].end]
    shortest = min((each.end for each in longer), default=None)
    return any(each.kind.startswith("CALL") and each.end == shortest for each in longer)


@lru_cache(maxsize=4096)
def _instructions(code: CodeType) -> Sequence[_Instruction]:
    """The instructions of code, in one form for all versions of Python."""
    found = []
    for each in dis.get_instructions(code):
        # Some versions have instructions that read or write two variables.
        kinds = re.findall("LOAD_FAST|STORE_FAST", each.opname) or [_SAME.get(each.opname, each.opname)]
        names = each.argval if len(kinds) > 1 else [each.argval]
        line, end_line, column, end_column = (number or 0 for number in each.positions or ())
        start, end = (line, column), (end_line, end_column)
        found += [_Instruction(kind, name, start, end) for kind, name in zip(kinds, names, strict=True)]
    return [each for each in found if each.kind not in _FILLERS]


def may_skip(wrapper: Any, wrapped: Any) -> bool:
    """Whether a function of the site may return before it uses the name of what it wraps."""
    if not isinstance(wrapper, FunctionType) or module_of(wrapper).startswith("django."):
        return False
    try:
        names = inspect.getclosurevars(wrapper)
    except ValueError:
        # A variable is not assigned yet, so we cannot know.
        return True
    known = {**names.globals, **names.nonlocals}
    return _returns_without(wrapper.__code__, {name for name, value in known.items() if value is wrapped})


def _returns_without(code: CodeType, names: Collection[str]) -> bool:
    """Whether a path through ``code`` returns before it uses one of ``names``. Exceptions do not count as returns."""
    instructions = list(dis.get_instructions(code))
    numbers = {each.offset: number for number, each in enumerate(instructions)}
    seen: set[int] = set()
    waiting = [0]
    while waiting:
        number = waiting.pop()
        each = instructions[number]
        if number in seen or (each.opcode in _NAMING and each.argval in names) or each.opname in _RAISES:
            continue
        seen.add(number)
        if each.opname in _RETURNS:
            return True
        if each.opcode in _JUMPING:
            waiting.append(numbers[each.argval])
        if each.opname not in _JUMPS:
            waiting.append(number + 1)
    return False


_NAMING = frozenset({*dis.hasname, *dis.hasfree, *dis.haslocal})
_JUMPING = frozenset({*dis.hasjrel, *dis.hasjabs})
# The unconditional jumps, by their names in several versions of Python.
_JUMPS = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})
_RETURNS = frozenset({"RETURN_VALUE", "RETURN_CONST"})
_RAISES = frozenset({"RAISE_VARARGS", "RERAISE"})


def module_of(function: Any) -> str:
    """The name of the module that defines a function; empty for other objects. Decorators copy ``__module__``."""
    return str(getattr(function, "__globals__", {}).get("__name__", ""))


def cells_of(function: Any) -> Mapping[str, Any]:
    """The variables of enclosing functions that a function uses, by name, except those that are not assigned yet."""
    pairs = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in pairs if cell != CellType()}


def attribute_of(cls: type, name: str) -> Any:
    """The attribute of a class or its first parent that defines it, without calling descriptors."""
    return next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)


def members_named(cls: type, name: str) -> Iterable[Any]:
    """The methods and other descriptors with this name in all classes except Django's ``View``."""
    defined = [vars(each)[name] for each in cls.__mro__ if each not in (View, object) and name in vars(each)]
    return [each for each in defined if hasattr(type(each), "__get__") or inspect.isdatadescriptor(each)]
