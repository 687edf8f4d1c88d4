"""Which guards a request for a view has to pass, as far as the view's code tells.

What cannot be told counts as no guard: a view that is named although it is guarded costs a look, one that is not named
although it is not costs more.
"""

import functools
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType, ModuleType, WrapperDescriptorType
from typing import Any

from django.utils import decorators as djangos
from django.views import View
from django.views.generic import RedirectView, base
from django.views.generic.edit import ProcessFormView

from . import decorators
from .source import ANY, Mention, mentions_of_dispatch, names_assigned, value_of
from .view_guard import ViewGuard
from .views import MIXIN_ATTRIBUTES, ProtectedResourceMixin

__all__ = ["Guarding", "Step", "class_behind", "guarding_of", "guarding_of_callback", "layers_of"]

# What runs before Django calls `dispatch`, and may put another in its place.
_MAKING = ("__init__", "__setattr__", "setup")

# What Django assigns by then, whatever it was called with.
_SET_UP = ("head", "request", "args", "kwargs")

# Whoever assigns one of these decides what Django calls.
_DECISIVE = {ANY, "__class__", "__dict__", "setup", "dispatch"}

# And whoever assigns one of these, which handlers there are.
_HANDLERS = {ANY, "http_method_names"}

# What Django's `dispatch` and `options` call beside handlers.
_BESIDE_HANDLERS = ("http_method_not_allowed", "_allowed_methods")

_OTHER_METHODS = "other methods"

# Handlers of Django's that do nothing but call another of the same object.
_PASSING_ON = (
    (vars(ProcessFormView)["put"], "post"),
    *((vars(RedirectView)[name], "get") for name in ("head", "post", "options", "delete", "put", "patch")),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One of the functions that a request goes through on its way to a view, and the guard that it is, if it is one."""

    layer: Any
    guard: ViewGuard | None = None


@dataclass(frozen=True, slots=True)
class Guarding:
    """``steps``: the way of every request, outermost first; ``by_method``: the guards of single handlers of a class.

    A class whose handlers have no guards, or may be called by others than Django's ``dispatch``, has none there.
    ``methods``: what a class has handlers for, guarded or not.
    """

    steps: tuple[Step, ...] = ()
    by_method: Mapping[str, tuple[ViewGuard, ...]] = field(default_factory=dict)
    methods: tuple[str, ...] = ()

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        """What stands before every request, outermost first."""
        return _guards_among(self.steps)

    @property
    def is_whole(self) -> bool:
        """Whether no request passes without a guard."""
        return bool(self.guards or (self.by_method and all(self.by_method.values())))

    def guards_for(self, method: str) -> tuple[ViewGuard, ...]:
        """What stands before a request with this HTTP method, in letters of any size, as Django has it."""
        method = method.upper()
        if method == "HEAD" and "HEAD" not in self.by_method:
            # As `View.setup` has it.
            method = "GET"
        return self.guards + self.by_method.get(method, ())


def _guards_among(steps: Iterable[Step]) -> tuple[ViewGuard, ...]:
    return tuple(step.guard for step in steps if step.guard is not None)


def guarding_of(view: Any) -> Guarding:
    """What guards a view of any kind, or a class: then the views that Django's ``as_view()`` makes of it."""
    if not isinstance(view, type) or not hasattr(view, "as_view"):
        return guarding_of_callback(view)
    guarding = _guarding_of_class(view, {})
    # One of its own may let its objects have other handlers.
    return guarding if _is_of(base, view.as_view, "as_view") else replace(guarding, by_method={})


def guarding_of_callback(callback: Any) -> Guarding:
    """What guards that which Django calls for a URL. Of a class it calls the constructor, and no ``dispatch``."""
    steps = _steps_of(callback)
    innermost = steps[-1].layer
    if _is_made_by_as_view(innermost):
        inner = _guarding_of_class(value_of("cls", innermost), value_of("initkwargs", innermost))
        return replace(inner, steps=(*steps, *inner.steps))
    if not inspect.isroutine(innermost):
        steps += _steps_of(_found(type(innermost), "__call__"))
    return Guarding(steps)


# From the outside to the innermost layer.


def _steps_of(view: Any) -> tuple[Step, ...]:
    return tuple(Step(layer, _guard_of(layer)) for layer in layers_of(view))


def layers_of(view: Any) -> Iterator[Any]:
    """A view and what it wraps, outermost first, down to the function, the object, or what ``as_view()`` returned."""
    for _ in range(decorators.MAX_LAYERS):
        yield view
        if class_behind(view) is not None:
            return
        view = _next_layer(view)
        if view is None:
            return


def _next_layer(layer: Any) -> Any:
    if isinstance(layer, functools.partial) and type(layer).__call__ is functools.partial.__call__:
        return layer.func
    if _is_inherited(layer):
        # What it wraps is what it calls only where no child has put another class between.
        return None
    decorated = _decorated(layer)
    wrapped = getattr(layer, "__wrapped__", None) if decorated is None else decorated
    # A mark comes from what is wrapped. Where that has none, the attributes of something else were copied,
    # `__wrapped__` among them: what is called there nobody knows.
    return wrapped if _has_mark(wrapped) or not _has_mark(layer) else None


def class_behind(layer: Any) -> type | None:
    """The class, if ``layer`` is one or is what Django's ``as_view()`` made of it; for what wraps that, ``None``."""
    if isinstance(layer, type):
        return layer
    cls: type | None = value_of("cls", layer) if _is_made_by_as_view(layer) else None
    return cls


def _is_made_by_as_view(layer: Any) -> bool:
    # Known by its code: anybody can set `view_class`, and decorators copy it.
    return _is_of(base, layer, "view")


def _has_mark(layer: Any) -> bool:
    """Whether it says of itself that it stands for a class, as Django's views do, and other frameworks' view sets."""
    return any(isinstance(getattr(layer, name, None), type) for name in ("view_class", "cls"))


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
    method = value_of("method", layer)

    @functools.wraps(method)
    def view(*args: Any, **kwargs: Any) -> Any:  # pragma: no cover - a stand-in, as Django itself makes one
        raise NotImplementedError

    try:
        return functools.reduce(lambda view, decorate: decorate(view), value_of("decorators", layer), view)
    except Exception:
        # A decorator of the site's own, which may want more than a stand-in.
        return None


# Classes.


def _guarding_of_class(cls: type, given: Mapping[str, Any]) -> Guarding:
    made = _assigned(cls, _MAKING)
    assigned = made | _assigned(cls, ("dispatch",))
    methods = tuple(name.upper() for name in _handlers_of(cls, given, assigned | given.keys()))
    if not _DECISIVE.isdisjoint(made | given.keys()) or not _has_plain_objects(cls, given):
        return Guarding(methods=methods)
    passage = _passage(cls, given, assigned)
    if not passage.is_to_handlers or not _HANDLERS.isdisjoint(assigned) or hasattr(cls, "__getattr__"):
        # Whoever else calls the handlers, or has others, may do so in ways of its own.
        return Guarding(passage.steps, methods=methods)
    by_method = _guards_of_handlers(cls, methods, assigned | given.keys())
    return Guarding(passage.steps, by_method if any(by_method.values()) else {}, methods)


def _has_plain_objects(cls: Any, given: Mapping[str, Any]) -> bool:
    """Whether its objects are made, given what they have and asked for it, as others are."""
    makers = type(cls).__call__ is type.__call__ and cls.__new__ is object.__new__
    # A property may assign anything when Django assigns to it.
    setters = any(hasattr(type(_found(cls, name)), "__set__") for name in (*_SET_UP, *given))
    return makers and not setters and cls.__getattribute__ is object.__getattribute__


def _handlers_of(cls: type, given: Mapping[str, Any], changed: Set[str]) -> Iterator[str]:
    """The HTTP methods, in small letters, that a class has a handler of its own for, or its objects may have one."""
    names = given.get("http_method_names", getattr(cls, "http_method_names", ()))
    # A child of one of these may say of any name that it is among them.
    for name in names if type(names) in (list, tuple, set, frozenset) else ():
        # Django asks for small letters.
        if isinstance(name, str) and name == name.lower():
            handler = _found(cls, name)
            # Django's own says which methods there are, and nothing else.
            if name in changed or (handler is not None and handler is not View.options):
                yield name
            elif name == "head" and "get" not in names and (_found(cls, "get") or "get" in changed):
                # `View.setup` lets it be answered by a `get` that is not among the methods itself.
                yield name


def _guards_of_handlers(cls: type, methods: Iterable[str], changed: Set[str]) -> dict[str, tuple[ViewGuard, ...]]:
    """The guards on each handler itself. Before it comes to its parent's, one may long have answered."""
    guards = {method: _guards_of_handler(cls, method.lower(), changed) for method in methods}
    if any(name in changed or _found(cls, name) is not vars(View)[name] for name in _BESIDE_HANDLERS):
        guards[_OTHER_METHODS] = ()
    return guards


def _guards_of_handler(cls: type, name: str, changed: Set[str]) -> tuple[ViewGuard, ...]:
    handler = _found(cls, name)
    if handler is None and name == "head":
        return _guards_of_handler(cls, "get", changed)
    if name in changed:
        return ()
    other = next((other for passing_on, other in _PASSING_ON if passing_on is handler), None)
    return _guards_among(_steps_of(handler)) if other is None else _guards_of_handler(cls, other, changed)


def _found(cls: type, name: str) -> Any:
    """What a class or the first of its parents has under that name, as it was written there."""
    return next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)


def _assigned(cls: type, methods: Iterable[str]) -> Set[str]:
    """The names that a class's own methods among these assign, to whatever object."""
    others = [each for each in cls.__mro__ if each is not View]
    written = [(name, vars(each)[name]) for each in others for name in methods if name in vars(each)]
    return {assigned for name, method in written for assigned in _assigned_by(name, method)}


def _assigned_by(name: str, method: Any) -> Iterator[str]:
    if isinstance(method, WrapperDescriptorType) or getattr(method, "__module__", None) == typing.__name__:
        # Python's own, of `object` and of `typing.Protocol`.
        return
    layer = None
    for layer in layers_of(method):
        if layer is vars(View).get(name):
            # Django's own, below a decorator, does what it does without one.
            continue
        if isinstance(layer, FunctionType):
            yield from names_assigned(layer.__code__)
        else:
            yield ANY
    if not isinstance(layer, FunctionType) or (layer.__code__.co_name != name and not _is_inherited(layer)):
        # Something around it, which does not tell what is within.
        yield ANY


# The way through `dispatch`.


@dataclass(frozen=True, slots=True)
class _Passage:
    """The steps within ``dispatch``, outermost first, and whether nothing but guards comes before Django's own."""

    steps: tuple[Step, ...] = ()
    is_to_handlers: bool = False


def _passage(cls: type, given: Mapping[str, Any], assigned: Set[str], after: int = 0) -> _Passage:
    """The way through ``dispatch``, looked for in ``cls`` and its parents from the one numbered ``after`` on."""
    classes = cls.__mro__
    number = next((number for number in range(after, len(classes)) if "dispatch" in vars(classes[number])), None)
    if number is None:
        return _Passage()
    steps = _steps_of(vars(classes[number])["dispatch"])
    innermost = steps[-1].layer
    if innermost is vars(ProtectedResourceMixin)["dispatch"]:
        steps = (*steps[:-1], Step(innermost, _guard_of_mixin(cls, given, assigned)))
    further = [each for each in _called(innermost, classes) if each > number]
    if not further:
        return _Passage(steps, innermost is View.dispatch)
    ways = [_passage(cls, given, assigned, each) for each in further]
    # Nobody knows which of them is taken: if one has no guard, the others' do not count.
    onward = ways[0].steps if len(ways) == 1 or all(_guards_among(way.steps) for way in ways) else ()
    # One of the site's own may long have answered before it comes to Django's.
    is_to_handlers = _is_inherited(innermost) and all(way.is_to_handlers for way in ways)
    return _Passage((*steps, *onward), is_to_handlers)


def _guard_of_mixin(cls: Any, given: Mapping[str, Any], assigned: Set[str]) -> ViewGuard | None:
    if not assigned.isdisjoint({ANY, *MIXIN_ATTRIBUTES}):
        return None
    try:
        scopes, optional, protector = (
            given[name] if name in given else getattr(cls, name) for name in MIXIN_ATTRIBUTES
        )
        return _guard_of(protector(scopes, optional)(lambda request: None))
    except Exception:
        # Given to as_view(), which nobody checks, and so an error at each request.
        return None


def _called(function: Any, classes: tuple[type, ...]) -> list[int]:
    """The numbers of those among ``classes`` from which on a ``dispatch`` looks for the next that it calls."""
    if _is_inherited(function):
        cls = value_of("cls", function)
        return [classes.index(cls) + 1] if cls in classes else []
    if not isinstance(function, FunctionType):
        return []
    mentions = mentions_of_dispatch(function.__code__)
    numbers = [_number_of(mention, function, classes) for mention in mentions]
    pairs = list(zip(mentions, numbers, strict=True))
    if any(number is None and (mention.is_super or mention.is_call) for mention, number in pairs):
        # Of a class that nobody can tell.
        return []
    # What is named without a call may be called under another name, and may not be called at all.
    is_called = any(mention.is_call for mention in mentions)
    return [number for number in numbers if number is not None and is_called]


def _number_of(mention: Mention, function: FunctionType, classes: tuple[type, ...]) -> int | None:
    cls = value_of(mention.cls, function)
    if not mention.is_super:
        # Parent.dispatch(self, request)
        cls = next((each for each in getattr(cls, "__mro__", ()) if "dispatch" in vars(each)), None)
    elif value_of("super", function) is not super:
        return None
    return classes.index(cls) + mention.is_super if cls in classes else None
