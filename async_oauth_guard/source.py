"""What functions do, as far as their source tells: nothing is run."""

import ast
import builtins
import functools
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

__all__ = ["ANY", "Mention", "mentions_of_dispatch", "names_assigned", "value_of"]

ANY = "*"
"""Stands for every name, where code may assign any."""


@dataclass(frozen=True, slots=True)
class Mention:
    """``dispatch`` of the class that goes by the name ``cls``, or of ``super()`` after it; `ANY` where it has no name.

    ``is_call``: it is called right there, for the object itself.
    """

    cls: str
    is_super: bool
    is_call: bool


# By the code: functions would keep their classes. Most classes share their `dispatch`.
@functools.lru_cache(maxsize=4096)
def mentions_of_dispatch(code: CodeType) -> tuple[Mention, ...]:
    """Where it names the ``dispatch`` of some class, called or not."""
    body = _body_of(code)
    calls = {id(node.func): node for node in _run_by(body) if isinstance(node, ast.Call)}
    me = code.co_varnames[0] if code.co_argcount else ""
    return tuple(
        _mention_of(node.value, calls.get(id(node)), me)
        for node in _within(body)
        if isinstance(node, ast.Attribute) and node.attr == "dispatch"
    )


def _mention_of(owner: ast.expr, call: ast.Call | None, me: str) -> Mention:
    first = call.args[0] if call is not None and call.args else None
    is_for_me = isinstance(first, ast.Name) and first.id == me
    match owner:
        case ast.Call(func=ast.Name(id="super"), args=[]):
            return Mention("__class__", is_super=True, is_call=call is not None)
        case ast.Call(func=ast.Name(id="super"), args=[ast.Name(id=cls), ast.Name(id=owner_name)]) if owner_name == me:
            return Mention(cls, is_super=True, is_call=call is not None)
        case ast.Call(func=ast.Name(id="super")):
            return Mention(ANY, is_super=True, is_call=call is not None)
        case ast.Name(id=cls):
            return Mention(cls, is_super=False, is_call=is_for_me)
        case _:
            return Mention(ANY, is_super=False, is_call=is_for_me)


@functools.lru_cache(maxsize=4096)
def names_assigned(code: CodeType) -> frozenset[str]:
    """The names of attributes that it assigns, to whatever object; `ANY` among them where nobody can tell."""
    body = _body_of(code)
    if not body:
        return frozenset({ANY})
    others = _other_objects(code, body)
    nodes = [node for node in _within(body) if not _is_of_another(node, others)]
    # What names something of a request's, say, is left out with the whole of it.
    left_out = {id(node.func) for node in _within(body) if isinstance(node, ast.Call) and _is_of_another(node, others)}
    named = (name for node in nodes if id(node) not in left_out for name in _assigned_in(node))
    return frozenset({*named, *_handed_on(code, body)})


def _other_objects(code: CodeType, body: Iterable[ast.stmt]) -> frozenset[str]:
    """The arguments that stand for other objects than the method's own, as far as they keep their meaning."""
    return frozenset(code.co_varnames[1 : code.co_argcount]).difference(_bound_in(body))


def _bound_in(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that are given a meaning, there or in a function within: by an assignment, an argument, a ``def``."""
    for node in _within(body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif not isinstance(node, ast.keyword):
            values = (getattr(node, each, None) for each in ("arg", "name", "asname", "rest"))
            yield from (value for value in values if isinstance(value, str))


def _is_of_another(node: ast.AST, others: frozenset[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="setattr" | "vars"), args=[ast.Name(id=name), *_]):
            return name in others
        case ast.Attribute(value=ast.Name(id=name)):
            return name in others
        case _:
            return False


def _assigned_in(node: ast.AST) -> Iterator[str]:
    match node:
        case (
            ast.Name(id="setattr" | "vars" | "exec" | "eval")
            | ast.Attribute(attr="setattr" | "__setattr__" | "__dict__")
        ):
            yield ANY
        case ast.Constant(value="__setattr__" | "__dict__" | "__init__"):
            # For `getattr`, and whatever else takes an attribute by its name.
            yield ANY
        case ast.Attribute(attr="http_method_names"):
            # A list, which need not be assigned to be changed.
            yield "http_method_names"
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case _:
            return


# What constructors hand on: `View.__init__` assigns whatever keyword it is given.


def _handed_on(code: CodeType, body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names of what `View.__init__` may be given beside what it was given by ``as_view()``."""
    if code.co_name != "__init__":
        if any(map(_is_constructor, _within(body))):
            yield ANY
        return
    keywords = _own_keywords(code)
    called = {id(node.func) for node in _within(body) if isinstance(node, ast.Call)}
    kept = (node for node in _within(body) if _is_constructor(node) and id(node) not in called)
    if any(kept) or not _is_told_of(keywords, body):
        yield ANY
    for node in _within(body):
        yield from _given_by(node, keywords)


def _is_constructor(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "__init__"


def _own_keywords(code: CodeType) -> str:
    """The name of its ``**kwargs``."""
    number = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    return code.co_varnames[number] if code.co_flags & inspect.CO_VARKEYWORDS else ""


def _is_told_of(mapping: str, body: Iterable[ast.stmt]) -> bool:
    """Whether nothing is put into it but under names that are written there."""
    told = {id(each) for node in _within(body) for each in _read_or_told(node)}
    uses = (node for node in _within(body) if isinstance(node, ast.Name) and node.id == mapping)
    return mapping not in _bound_in(body) and all(id(node) in told for node in uses)


def _read_or_told(node: ast.AST) -> Iterator[ast.expr]:
    """The mappings that a node reads, or puts something into under a name that is written there."""
    match node:
        case (
            ast.keyword(arg=None, value=mapping)
            | ast.Compare(comparators=[mapping])
            | ast.Subscript(value=mapping, ctx=ast.Load() | ast.Del())
            | ast.Subscript(value=mapping, slice=ast.Constant())
            | ast.Call(func=ast.Attribute(value=mapping, attr="get" | "pop" | "items" | "keys" | "values" | "copy"))
            | ast.Call(func=ast.Attribute(value=mapping, attr="setdefault"), args=[ast.Constant(), *_])
        ):
            yield mapping
        case ast.Call(func=ast.Attribute(value=mapping, attr="update"), args=[], keywords=given):
            if all(each.arg for each in given):
                yield mapping
        case ast.Dict(keys=keys, values=values):
            yield from (value for key, value in zip(keys, values, strict=True) if key is None)
        case _:
            return


def _given_by(node: ast.AST, keywords: str) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Attribute(attr="__init__"), keywords=given):
            if not all(each.arg or _is_written(each.value, keywords) for each in given):
                yield ANY
        case ast.keyword(arg=str(name)) | ast.Subscript(slice=ast.Constant(value=str(name))):
            yield name
        case ast.Call(func=ast.Attribute(attr="setdefault"), args=[ast.Constant(value=str(name)), *_]):
            yield name
        case ast.Dict(keys=keys):
            yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
        case _:
            return


def _is_written(mapping: ast.expr, keywords: str) -> bool:
    """Whether it is the method's own ``**kwargs``, or a dictionary of names that are written there."""
    match mapping:
        case ast.Name(id=name):
            return name == keywords
        case ast.Dict(keys=keys, values=values):
            return all(
                isinstance(key, ast.Constant) or (key is None and _is_written(value, keywords))
                for key, value in zip(keys, values, strict=True)
            )
        case _:
            return False


def _within(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (node for statement in body for node in ast.walk(statement))


def _run_by(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What runs when a function is called: not the functions within, whose names may mean something else."""
    for node in body:
        if not isinstance(node, _SCOPES):
            yield node
            yield from _run_by(ast.iter_child_nodes(node))


_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


@functools.lru_cache(maxsize=4096)
def _body_of(code: CodeType) -> tuple[ast.stmt, ...]:
    """The statements of a function; none where its source is not there, or is no ``def``."""
    try:
        source = inspect.getsource(code)
        # A method's is indented, which cannot be undone: lines of long strings within need not be.
        tree = ast.parse(f"if True:\n{source}" if source[:1].isspace() else source)
    except Exception:
        # No file, or one that is no longer what was imported.
        return ()
    outermost = next(
        (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)), None
    )
    return () if outermost is None or outermost.name != code.co_name else tuple(outermost.body)


def value_of(name: str, function: Any) -> Any:
    """What a name within a function stands for, whenever it is called; ``None`` for what each call has anew."""
    code = function.__code__
    if name in code.co_varnames or name in code.co_cellvars:
        return None
    if name not in code.co_freevars:
        return function.__globals__.get(name, vars(builtins).get(name))
    try:
        return function.__closure__[code.co_freevars.index(name)].cell_contents
    except ValueError:
        # Not yet assigned.
        return None
