"""Which guards a request for a view has to pass, as far as the view's code tells.

What cannot be told counts as no guard: a view that is named although it is guarded costs a look, one that is not named
although it is not costs more.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any

from django.utils import decorators as djangos
from django.views import View

from . import decorators
from .view_guard import ViewGuard
from .views import ProtectedResourceMixin

__all__ = ["Guarding", "Step", "class_behind", "guarding_of", "handlers_of", "layers_of"]

# Proxies may have another layer below each.
_MAX_LAYERS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One of the functions that a request goes through on its way to a view, and the guard that it is, if it is one."""

    layer: Any
    guard: ViewGuard | None = None


@dataclass(frozen=True, slots=True)
class Guarding:
    """``steps``: the way of every request, outermost first; ``by_method``: the guards of single handlers of a class.

    A class whose handlers have no guards, or may be called by others than Django's ``dispatch``, has none there.
    """

    steps: tuple[Step, ...] = ()
    by_method: Mapping[str, tuple[ViewGuard, ...]] = field(default_factory=dict)

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        """What stands before every request, outermost first."""
        return tuple(step.guard for step in self.steps if step.guard is not None)

    @property
    def is_whole(self) -> bool:
        """Whether no request passes without a guard."""
        return bool(self.guards or (self.by_method and all(self.by_method.values())))

    def guards_for(self, method: str) -> tuple[ViewGuard, ...]:
        """What stands before a request with this HTTP method."""
        if method == "HEAD" and "HEAD" not in self.by_method:
            # As `View.setup` has it.
            method = "GET"
        return self.guards + self.by_method.get(method, ())


def guarding_of(view: Any) -> Guarding:
    """What guards a view of any kind, or a class."""
    steps = _steps_of(view)
    innermost = steps[-1].layer
    if (cls := class_behind(innermost)) is not None:
        inner = _guarding_of_class(cls, _arguments_of(innermost))
        return Guarding((*steps, *inner.steps), inner.by_method)
    if not inspect.isroutine(innermost):
        steps += _passage(type(innermost), "__call__").steps
    return Guarding(steps)


def _steps_of(view: Any) -> tuple[Step, ...]:
    return tuple(Step(layer, _guard_of(layer)) for layer in layers_of(view))


def layers_of(view: Any) -> Iterator[Any]:
    """A view and what it wraps, outermost first, down to the function, the object, or what ``as_view()`` returned."""
    for _ in range(_MAX_LAYERS):
        yield view
        if class_behind(view) is not None:
            return
        view = _next_layer(view)
        if view is None:
            return


def _next_layer(layer: Any) -> Any:
    if isinstance(layer, functools.partial):
        return layer.func
    if _is_inherited(layer):
        # What it wraps is what it calls only where no child has put another class between.
        return None
    decorated = _decorated(layer)
    return getattr(layer, "__wrapped__", None) if decorated is None else decorated


def class_behind(layer: Any) -> type | None:
    """The class, if ``layer`` is one or is what its ``as_view()`` returned; for what wraps that, ``None``."""
    if isinstance(layer, type):
        return layer
    # Decorators copy the mark of what they wrap.
    is_wrapper = not isinstance(layer, FunctionType) or _mark_of(getattr(layer, "__wrapped__", None)) is not None
    return None if is_wrapper else _mark_of(layer)


def _mark_of(layer: Any) -> type | None:
    # Django's, and that of Django REST framework's view sets.
    cls = getattr(layer, "view_class", None) or getattr(layer, "cls", None)
    return cls if isinstance(cls, type) else None


def _arguments_of(layer: Any) -> Mapping[str, Any]:
    """What ``as_view()`` was given in place of attributes of the class."""
    return getattr(layer, "view_initkwargs", None) or {}


def _guard_of(layer: Any) -> ViewGuard | None:
    # Known by its code: `functools.wraps` copies its attributes to whatever wraps it.
    guard: ViewGuard | None = layer._oauth_guard if _is_of(decorators, layer, "guarded") else None
    return guard


def _is_inherited(layer: Any) -> bool:
    """Whether it is the ``dispatch`` that a guard gave to a class that had none of its own."""
    return _is_of(decorators, layer, "inherited")


def _is_of(module: ModuleType, layer: Any, name: str) -> bool:
    """Whether it is a function that ``module`` makes under that name."""
    function = layer.__func__ if isinstance(layer, MethodType) else layer
    if not isinstance(function, FunctionType) or function.__globals__ is not module.__dict__:
        return False
    return function.__code__.co_name == name


def _decorated(layer: Any) -> Any:
    """What a call of a method decorated with ``method_decorator`` puts together, ``None`` for anything else."""
    if not _is_of(djangos, layer, "_wrapper"):
        return None
    within = inspect.getclosurevars(layer).nonlocals
    method = within["method"]

    @functools.wraps(method)
    def view(*args: Any, **kwargs: Any) -> Any:  # pragma: no cover - a stand-in, as Django itself makes one
        raise NotImplementedError

    return functools.reduce(lambda decorated, decorate: decorate(decorated), within["decorators"], view)


@dataclass(frozen=True, slots=True)
class _Passage:
    """The steps within a method, outermost first, and the functions at the end of its ways."""

    steps: tuple[Step, ...] = ()
    ends: frozenset[Any] = frozenset()

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        return Guarding(self.steps).guards


def _guarding_of_class(cls: type, given: Mapping[str, Any]) -> Guarding:
    dispatch = _passage(cls, "dispatch", given)
    if dispatch.ends != frozenset[Any]({View.dispatch}):
        # Whoever else calls the handlers may do so in ways of its own.
        return Guarding(dispatch.steps)
    handlers = {name.upper(): _passage(cls, name).guards for name in handlers_of(cls, given)}
    return Guarding(dispatch.steps, handlers if any(handlers.values()) else {})


def handlers_of(cls: Any, given: Mapping[str, Any]) -> Iterator[str]:
    """The HTTP methods, in small letters, that a class has a handler of its own for."""
    for name in given.get("http_method_names", cls.http_method_names):
        handler = getattr(cls, name, None)
        # Django's own says which methods there are, and nothing else.
        if handler is not None and handler is not View.options:
            yield name


def _passage(cls: type, name: str, given: Mapping[str, Any] | None = None, after: int = 0) -> _Passage:
    """The way through the method ``name``, looked for in ``cls`` and its parents from the one numbered ``after`` on."""
    classes = cls.__mro__
    number = next((number for number in range(after, len(classes)) if name in vars(classes[number])), None)
    if number is None:
        return _Passage()
    steps = _steps_of(vars(classes[number])[name])
    innermost = steps[-1].layer
    if innermost is vars(ProtectedResourceMixin)["dispatch"]:
        steps = (*steps[:-1], Step(innermost, _guard_of_mixin(cls, given or {})))
    further = [each for each in _called(innermost, name, classes) if each > number]
    if not further:
        return _Passage(steps, frozenset({innermost}))
    ways = [_passage(cls, name, given, each) for each in further]
    ends = frozenset().union(*(way.ends for way in ways))
    # Nobody knows which of them is taken: if one has no guard, the others' do not count.
    onward = ways[0].steps if len(ways) == 1 or all(way.guards for way in ways) else ()
    return _Passage((*steps, *onward), ends)


def _guard_of_mixin(cls: Any, given: Mapping[str, Any]) -> ViewGuard | None:
    scopes, optional, protector = (
        given.get(name, getattr(cls, name)) for name in ("required_scopes", "oauth_optional", "protector")
    )
    try:
        return _guard_of(protector(scopes, optional)(lambda request: None))
    except (TypeError, ValueError):
        # Given to as_view(), which nobody checks, and so an error at each request.
        return None


def _called(function: Any, name: str, classes: tuple[type, ...]) -> list[int]:
    """The numbers of those among ``classes`` from which on a method looks for the one of that name that it calls."""
    if _is_inherited(function):
        cls = inspect.getclosurevars(function).nonlocals["cls"]
        return [classes.index(cls) + 1] if cls in classes else []
    calls = (
        node.value for node in ast.walk(_tree_of(function)) if isinstance(node, ast.Attribute) and node.attr == name
    )
    numbers = (_number_called(call, function, name, classes) for call in calls)
    return [number for number in numbers if number is not None]


def _number_called(call: ast.expr, function: Any, name: str, classes: tuple[type, ...]) -> int | None:
    match call:
        case ast.Call(func=ast.Name(id="super"), args=[]):
            base, step = _value_of("__class__", function), 1
        case ast.Call(func=ast.Name(id="super"), args=[ast.Name(id=base_name), _]):
            base, step = _value_of(base_name, function), 1
        case ast.Name(id=base_name):
            # Parent.dispatch(self, request)
            base, step = _owner_of(name, _value_of(base_name, function)), 0
        case _:
            return None
    return classes.index(base) + step if base in classes else None


def _owner_of(name: str, cls: Any) -> Any:
    return next((each for each in getattr(cls, "__mro__", ()) if name in vars(each)), None)


def _value_of(name: str, function: FunctionType) -> Any:
    """The class, or whatever else a name within a function stands for."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return cells[name].cell_contents if name in cells else function.__globals__.get(name)


def _tree_of(function: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Without its source nobody can tell.
        return ast.Module([], [])
