"""Finds the guards that a request passes on its way to a view, from objects and their code. In doubt: unguarded."""

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType, ModuleType
from typing import Any

from django.utils import decorators as django_decorators
from django.views import View
from django.views.generic import RedirectView, base
from django.views.generic.edit import ProcessFormView

from ..guard import decorators
from ..guard.mixins import MIXIN_ATTRIBUTES, ProtectedResourceMixin
from ..guard.ninja_operations import NINJA, operations_of
from ..guard.view_guard import ViewGuard
from .code_analysis import (
    ANY,
    attribute_of,
    attributes_stored,
    calls_super_dispatch,
    cells_of,
    keeps_self,
    members_named,
    module_of,
)
from .rest_framework_views import (
    attributes_set_by_framework,
    describes_nothing,
    function_behind,
    guards_of_permissions,
    handlers_of_set,
    is_of_framework,
    is_rest_as_view,
    is_rest_dispatch,
    is_view_of_set,
    run_before_permissions,
)
from .review import review_of

__all__ = [
    "ViewGuards",
    "Step",
    "class_behind",
    "guard_of_authenticator",
    "guarding_of",
    "guarding_of_callback",
    "innermost_of",
    "layers_of",
]

# What ``Operation.run`` of Django Ninja calls before the operation's function.
_RUN_BY_OPERATIONS = ("_run_checks", "_run_authentication")

# Other methods than handlers that Django's `dispatch` and `options` look up.
_BESIDE_HANDLERS = ("http_method_not_allowed", "_allowed_methods")

# Django's own handlers that only call another handler of the same object.
_PASSING_ON = (
    (vars(ProcessFormView)["put"], "post"),
    *((vars(RedirectView)[name], "get") for name in ("head", "post", "options", "delete", "put", "patch")),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One function that a request passes on its way to a view. ``guard`` is set if the function is a guard."""

    layer: Any
    guard: ViewGuard | None = None


@dataclass(frozen=True, slots=True)
class ViewGuards:
    """What guards a view.

    Attributes:
        steps: the functions that every request passes, outermost first.
        by_method: for a class, the guards of each handler, by HTTP method. Empty if no handler has a guard, or if
            other code than Django's ``dispatch`` may call the handlers.
        methods: the HTTP methods that a class has handlers for, guarded or not.
        review: the reason that was given to `mark_reviewed`, or ``None``.
    """

    steps: tuple[Step, ...] = ()
    by_method: Mapping[str, tuple[ViewGuard, ...]] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    review: str | None = None

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        """The guards that every request passes, outermost first."""
        return _guards_among(self.steps)

    @property
    def is_complete(self) -> bool:
        """Whether every request passes at least one guard."""
        return bool(self.guards or (self.by_method and all(self.by_method.values())))

    def guards_for(self, method: str) -> tuple[ViewGuard, ...]:
        """The guards that a request with this HTTP method passes. The method may be in upper or lower case."""
        method = method.upper()
        if method == "HEAD" and "HEAD" not in self.by_method:
            # As in `View.setup`.
            method = "GET"
        return self.guards + self.by_method.get(method, ())


def _guards_among(steps: Iterable[Step]) -> tuple[ViewGuard, ...]:
    return tuple(step.guard for step in steps if step.guard is not None)


def guarding_of(view: Any) -> ViewGuards:
    """What guards a view of any kind. A class counts as the view that Django's ``as_view()`` makes from it."""
    as_view = getattr(view, "as_view", None)
    if isinstance(view, type) and (_is_of(base, as_view, "as_view") or is_rest_as_view(as_view)):
        return replace(_guarding_of_class(view, {}), review=review_of(view))
    return guarding_of_callback(view)


def guarding_of_callback(callback: Any) -> ViewGuards:
    """What guards the object that Django calls for a URL. If it is a class, Django does not call its ``dispatch``."""
    steps = _steps_of(callback)
    innermost = steps[-1].layer
    guarding = ViewGuards(steps)
    if _is_view_of_class(innermost):
        made_from = cells_of(innermost)
        inner = _guarding_of_class(made_from["cls"], made_from["initkwargs"], made_from.get("actions"))
        guarding = replace(inner, steps=(*steps, *inner.steps))
    elif operations := operations_of(innermost):
        by_method = _guards_by_operation(operations)
        guarding = ViewGuards(steps, by_method if any(by_method.values()) else {}, tuple(by_method))
    elif not inspect.isroutine(innermost):
        guarding = ViewGuards((*steps, *_steps_in_class(type(innermost), "__call__")))
    reviews = (review_of(each) for each in (*layers_of(callback), class_behind(innermost), *_reviewed(innermost)))
    return replace(guarding, review=next(filter(None, reviews), None))


# From the outside to the innermost layer.


def _steps_of(view: Any) -> tuple[Step, ...]:
    return tuple(Step(layer, _guard_of(layer)) for layer in layers_of(view))


def _steps_in_class(cls: type, name: str) -> tuple[Step, ...]:
    found = attribute_of(cls, name)
    # Any other descriptor may return a different object.
    is_itself = isinstance(found, FunctionType | functools.partial) or not hasattr(type(found), "__get__")
    return _steps_of(found) if is_itself else (Step(found),)


def layers_of(view: Any) -> Iterator[Any]:
    """A view and what it wraps, outermost first. The last is a function, an object, or the result of ``as_view()``."""
    for _ in range(decorators.MAX_LAYERS):
        yield view
        view = None if class_behind(view) is not None else _next_layer(view)
        if view is None:
            return


def innermost_of(view: Any) -> Any:
    """The last of `layers_of`."""
    return list(layers_of(view))[-1]


def class_behind(layer: Any) -> type | None:
    """The class, if ``layer`` is a class or the result of Django's ``as_view()``; otherwise ``None``."""
    # `view_class` is not reliable: decorators copy it, and any code can set it.
    cls = cells_of(layer)["cls"] if _is_view_of_class(layer) else layer
    return cls if isinstance(cls, type) else None


def _is_view_of_class(layer: Any) -> bool:
    return _is_of(base, layer, "view") or is_view_of_set(layer)


def _next_layer(layer: Any) -> Any:
    if type(layer) is MethodType:
        return _next_layer(layer.__func__)
    if isinstance(layer, functools.partial) and type(layer).__call__ is functools.partial.__call__:
        return layer.func
    if _is_of(django_decorators, layer, "_wrapper"):
        return _decorated(**cells_of(layer))
    if (function := function_behind(layer)) is not None:
        return function
    # `__wrapped__` may be wrong. A wrapper can only call what its code can access.
    wrapped = getattr(layer, "__wrapped__", None)
    return wrapped if any(wrapped is each for each in _at_hand(layer)) else None


def _at_hand(layer: Any) -> Iterable[Any]:
    if isinstance(layer, FunctionType):
        return cells_of(layer).values()
    call, attributes = attribute_of(type(layer), "__call__"), getattr(layer, "__dict__", {})
    names = call.__code__.co_names if isinstance(call, FunctionType) else ()
    return [attributes[name] for name in names if name in attributes]


def _decorated(method: Any, decorators: Iterable[Any], **others: Any) -> Any:
    """The view that ``method_decorator`` creates at each call, or ``None`` if that cannot be known."""

    @functools.wraps(method)
    def view(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)  # pragma: no cover - a placeholder, like the one that Django creates

    try:
        return functools.reduce(lambda view, decorate: decorate(view), decorators, view)
    except Exception:
        # A decorator of the site may need more than this placeholder.
        return None


def _guard_of(layer: Any) -> ViewGuard | None:
    # `functools.wraps` copies the attribute to wrappers, so check that this really is the guard's own function.
    guard: ViewGuard | None = layer._oauth_guard if _is_of(decorators, layer, "guarded") else None
    return guard


def _is_of(module: ModuleType, layer: Any, name: str) -> bool:
    """Whether ``layer`` is a function that ``module`` defines under this name."""
    function = getattr(layer, "__func__", layer)
    return (
        isinstance(function, FunctionType)
        and function.__globals__ is vars(module)
        and function.__code__.co_name == name
    )


# Operations of Django Ninja.


def _guards_by_operation(operations: Iterable[Any]) -> dict[str, tuple[ViewGuard, ...]]:
    """The guards of each operation, by the HTTP method for which Ninja runs it."""
    guards: dict[str, tuple[ViewGuard, ...]] = {}
    for operation in operations:
        for method in operation.methods:
            guards.setdefault(method, _guards_of_operation(operation))
    return guards


def _guards_of_operation(operation: Any) -> tuple[ViewGuard, ...]:
    steps = _steps_of(operation.run)
    guards = _guards_among(steps)
    if not _is_run_of_ninja(steps[-1].layer):
        return guards
    further = _guards_among([_auth_step(operation.auth_callbacks), *_steps_of(operation.view_func)])
    # A guard of the function itself is also in front of Ninja, and checks a request once.
    return (*guards, *(each for each in further if not any(each is guard for guard in guards)))


def _reviewed(view: Any) -> Iterable[Any]:
    """What is around the functions of all operations without a guard, if each of them was reviewed."""
    operations = [operation for operation in operations_of(view) if not _guards_of_operation(operation)]
    around = [list(layers_of(operation.view_func)) for operation in operations]
    are_reviewed = all(any(map(review_of, layers)) for layers in around)
    return (layer for layers in around for layer in layers) if are_reviewed else ()


def _is_run_of_ninja(run: Any) -> bool:
    """Whether this is Ninja's own method, of an object that no code has changed."""
    owner = getattr(run, "__self__", None)
    cls = type(owner)
    if cls.__module__ != NINJA or run.__func__ is not attribute_of(cls, "run"):
        return False
    return vars(owner).keys().isdisjoint(_RUN_BY_OPERATIONS)


def _auth_step(callbacks: Sequence[Any]) -> Step:
    """The authenticators of an operation as one step. Each is an alternative, so all of them must be guards."""
    guards = [guard_of_authenticator(callback) for callback in callbacks]
    if not guards or None in guards:
        return Step(callbacks)
    first, *others = (guard for guard in guards if guard is not None)
    return Step(callbacks, replace(first, alternatives=tuple(others)) if others else first)


def guard_of_authenticator(callback: Any) -> ViewGuard | None:
    """The guard of an ``OAuth``, or ``None`` for any other authenticator, and for a subclass that overrides methods."""
    methods = (attribute_of(type(callback), name) for name in ("__call__", "_flow"))
    if {module_of(method) for method in methods} != {"async_oauth_guard.contrib.ninja.auth"}:
        return None
    guard: ViewGuard = callback._oauth_guard
    return guard


# Classes.


def _guarding_of_class(cls: Any, given: Mapping[str, Any], actions: Mapping[str, str] | None = None) -> ViewGuards:
    """``actions``: for a view set, the name of the handler of each HTTP method."""
    by_method = _guards_of_handlers(cls, given, {} if actions is None else handlers_of_set(actions))
    methods = tuple(by_method)
    if not all(_is_of_django(cls, name) for name in _BESIDE_HANDLERS):
        by_method["other methods"] = ()
    assigned = ("head", "request", "args", "kwargs", *attributes_set_by_framework(cls), *given)
    # Assigning to such an attribute runs the site's code, which may replace what Django looks up.
    runs_code = any(hasattr(attribute_of(cls, name), "__set__") for name in assigned)
    changes = _attributes_set(cls, [*members_named(cls, "__init__"), *members_named(cls, "setup")])
    is_replaced = not {ANY, "__class__", "dispatch"}.isdisjoint(changes | given.keys())
    if runs_code or is_replaced or not _has_plain_objects(cls):
        return ViewGuards(methods=methods)
    steps, is_to_handlers = _passage(cls, given, changes)
    looked_up = {*_BESIDE_HANDLERS, *map(str.lower, by_method), *View.http_method_names, *(actions or {}).values()}
    are_plain = "http_method_names" not in changes and looked_up.isdisjoint(changes | given.keys())
    counts = is_to_handlers and are_plain and not hasattr(cls, "__getattr__") and any(by_method.values())
    return ViewGuards(steps, by_method if counts else {}, methods)


def _is_of_django(cls: Any, name: str) -> bool:
    found = attribute_of(cls, name)
    return found is vars(View)[name] or is_of_framework(found)


def _has_plain_objects(cls: Any) -> bool:
    """Whether the class uses Python's default ways to create objects and to get and set their attributes."""
    makers = type(cls).__call__ is type.__call__ and cls.__new__ is object.__new__
    return makers and cls.__setattr__ is object.__setattr__ and cls.__getattribute__ is object.__getattribute__


def _guards_of_handlers(
    cls: type, given: Mapping[str, Any], actions: Mapping[str, str]
) -> dict[str, tuple[ViewGuard, ...]]:
    """The guards on each handler, by the HTTP method for which Django's ``dispatch`` calls it."""
    names = given.get("http_method_names", getattr(cls, "http_method_names", None))
    guards = {}
    for name in names if type(names) in (list, tuple) else ():
        # `View.setup` uses `get` for HEAD if there is no `head`.
        is_get = name == "head" and "get" not in names and attribute_of(cls, name) is None
        passed_on = (other for function, other in _PASSING_ON if function is attribute_of(cls, name))
        handler = actions.get(name, "get" if is_get else next(passed_on, name))
        found = attribute_of(cls, handler)
        is_none = found in (None, View.options) or describes_nothing(cls, given, found)
        if isinstance(name, str) and name.islower() and not is_none:
            guards[name.upper()] = _guards_among(_steps_in_class(cls, handler))
    return guards


def _passage(cls: Any, given: Mapping[str, Any], changes: Set[str]) -> tuple[tuple[Step, ...], bool]:
    """The steps in ``dispatch``, and whether only guards come before Django's own ``dispatch``.

    ``changes``: the attributes that may be set on the object itself.
    """
    steps: list[Step] = []
    only_guards = True
    for owner in (each for each in cls.__mro__ if "dispatch" in vars(each)):
        steps += _steps_in_class(owner, "dispatch")
        innermost = steps[-1].layer
        if is_rest_dispatch(innermost):
            changes = changes | _attributes_set(cls, run_before_permissions(cls))
            steps += [Step(guard, guard) for guard in guards_of_permissions(cls, given, changes)]
            return tuple(steps), only_guards and not changes
        changes = changes | _attributes_set(cls, [vars(owner)["dispatch"]])
        is_guard = _is_of(decorators, innermost, "inherited")
        if innermost is vars(ProtectedResourceMixin)["dispatch"]:
            steps[-1] = Step(innermost, _guard_of_mixin(cls, given, changes))
        elif not is_guard and not calls_super_dispatch(innermost, owner):
            return tuple(steps), only_guards and innermost is View.dispatch
        only_guards = only_guards and is_guard
    return tuple(steps), False


def _guard_of_mixin(cls: type, given: Mapping[str, Any], changes: Set[str]) -> ViewGuard | None:
    if not changes.isdisjoint({ANY, *MIXIN_ATTRIBUTES}):
        return None
    values = (given[name] if name in given else attribute_of(cls, name) for name in MIXIN_ATTRIBUTES)
    scopes, optional, protector = values
    try:
        return _guard_of(protector(scopes, optional)(lambda request: None))
    except Exception:
        # `as_view()` does not check its arguments. With invalid ones, each request gets an error.
        return None


# What code does.


def _attributes_set(cls: type, members: Iterable[Any]) -> Set[str]:
    """The attributes that methods set on any object, directly or through other methods; `ANY` if in doubt."""
    found: set[str] = set()
    followed = {"dispatch", *View.http_method_names}
    waiting = list(members)
    for member in waiting:
        # Guards do not change the object, and `method_decorator` does not pass it to decorators.
        *above, innermost = [layer for layer in layers_of(member) if _guard_of(layer) is None] or [None]
        is_hidden = bool(above) and not _is_of(django_decorators, above[0], "_wrapper")
        if is_hidden or not isinstance(innermost, FunctionType):
            return {ANY}
        if not (_is_of(decorators, innermost, "inherited") or keeps_self(innermost.__code__)):
            return {ANY}
        found |= attributes_stored(innermost.__code__)
        names = set(innermost.__code__.co_names) - followed
        followed |= names
        waiting += [each for name in names for each in members_named(cls, name)]
    return found
