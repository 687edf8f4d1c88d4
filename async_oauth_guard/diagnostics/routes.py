"""The routes of a URL configuration: the view of each, and what guards it."""

import inspect
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePath
from types import MethodType
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern
from django.utils.regex_helper import normalize

from ..conf import SETTING, GuardSettings
from ..guard.csrf import ExemptByGuard
from ..guard.ninja_operations import operations_of
from ..guard.view_guard import ViewGuard
from ..runtime.run import is_async
from .validator_names import describe_validators
from .view_analysis import ViewGuards, class_behind, guarding_of, guarding_of_callback, innermost_of, layers_of

__all__ = [
    "TO_GUARD",
    "Route",
    "dotted_path",
    "guards_of",
    "import_urls",
    "is_allowed",
    "is_excused",
    "iter_routes",
    "patterns_of_allowed",
    "route_of",
]

TO_GUARD = (
    "Guard it, mark it with mark_reviewed, or add its path (such as '/admin/*'), name or view to"
    " OAUTH_GUARD['UNGUARDED']."
)
"""What to do about a route without a guard."""

_UNGUARDED = "unguarded"


@dataclass(frozen=True, slots=True)
class Route:
    """A URL pattern, its view, and what guards the view.

    Attributes:
        path: the path in readable form: ``/reports/<int:year>``.
        name: the name with its namespaces, or ``None``.
        view: the dotted path of the innermost view, without its wrappers.
        callback: the object that Django calls.
        is_async: whether the view is async. Django then awaits it.
        kind: ``"function"``, ``"method"``, ``"partial"``, ``"object"``, ``"class"`` or, with Django Ninja,
            ``"operation"``.
        csrf_exempt: whether all requests are exempt from Django's CSRF check. This is false if the guard is optional or
            its protector overrides ``acquire_token``, because requests without a token are then checked.
        guarding: the guards and other layers that requests pass.
    """

    path: str
    name: str | None
    view: str
    callback: Any
    is_async: bool
    kind: str
    csrf_exempt: bool
    guarding: ViewGuards = field(repr=False)

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        """The guards that every request passes, outermost first."""
        return self.guarding.guards

    @property
    def guards_by_method(self) -> Mapping[str, tuple[ViewGuard, ...]]:
        """For a class with guards on some of its handlers, the guards of each handler, by HTTP method."""
        return self.guarding.by_method

    @property
    def is_guarded(self) -> bool:
        """Whether every request to the view passes a guard. An optional guard counts too."""
        return self.guarding.is_complete

    @property
    def review(self) -> str | None:
        """Why the view needs no guard, if its author has marked it with `mark_reviewed`."""
        return self.guarding.review

    @property
    def requirement(self) -> str:
        """What is required of a request, as text; ``"unguarded"`` or ``"reviewed: ..."`` if the view has no guard."""
        words = self._describe_guarding()
        if self.is_guarded or self.review is None:
            return words
        reviewed = f"reviewed: {self.review}"
        return reviewed if words == _UNGUARDED else f"{words}; {reviewed}"

    def _describe_guarding(self) -> str:
        whole = _describe_guards(self.guards)
        if not any(self.guards_by_method.values()):
            return whole
        if self.guards:
            own = [f"and {method}: {_describe_guards(each)}" for method, each in self.guards_by_method.items() if each]
            return "; ".join([whole, *own])
        return "; ".join(f"{method}: {_describe_guards(each)}" for method, each in self.guards_by_method.items())

    @property
    def validators(self) -> str:
        """The validators, as text. Empty without a guard, ``"none"`` without validators, ``"?"`` if unknown."""
        return "; ".join(dict.fromkeys(describe_validators(guard.protector) for guard in self.all_guards))

    def guards_for(self, method: str) -> tuple[ViewGuard, ...]:
        """The guards that a request with this HTTP method passes, outermost first."""
        return self.guarding.guards_for(method)

    def as_json(self) -> dict[str, Any]:
        """The route as a dictionary for JSON."""
        return {
            "path": self.path,
            "name": self.name,
            "view": self.view,
            "is_async": self.is_async,
            "kind": self.kind,
            "guarded": self.is_guarded,
            "reviewed": self.review,
            "requirement": self.requirement,
            "validators": self.validators,
            "csrf_exempt": self.csrf_exempt,
        }

    @property
    def all_guards(self) -> tuple[ViewGuard, ...]:
        """The guards of the view and of its handlers, with their alternatives."""
        guards = [*self.guards, *(guard for guards in self.guards_by_method.values() for guard in guards)]
        return tuple(each for guard in guards for each in (guard, *guard.alternatives))


def guards_of(view: Any, method: str | None = None) -> tuple[ViewGuard, ...]:
    """The guards that every request to a view passes, outermost first.

    ``view`` is a view of any kind, or a class. With ``method``, the guards of the handler for that HTTP method are
    included.
    """
    guarding = guarding_of(view)
    return guarding.guards_for(method) if method else guarding.guards


def iter_routes(urlconf: Any = None) -> Iterator[Route]:
    """All URL patterns of the site, or of ``urlconf``, in the order in which Django tries them.

    Raises:
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    for trail, pattern in _walk(_resolver(urlconf), _Trail()):
        yield _route_at(trail, pattern)


def import_urls() -> int:
    """Import all modules that the site's URLs name, so that all guards exist. Returns the number of URL patterns.

    Raises:
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    return len(list(_walk(_resolver(None), _Trail())))


def route_of(path: str, urlconf: Any = None) -> Route:
    """The route for ``path``, such as ``/reports/2024``. ``path`` may also be a whole URL.

    Raises:
        LookupError: no route matches, or ``path`` is not a valid URL.
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    resolver = _resolver(urlconf)
    # Do this first, so that a URL configuration that cannot be loaded is reported as such.
    patterns = list(_walk(resolver, _Trail()))
    try:
        match = resolver.resolve(_path_of(path))
    except Resolver404:
        raise LookupError(f"no route matches {path!r}") from None
    for trail, pattern in patterns:
        if trail.written == match.route and pattern.callback is match.func:
            return _route_at(trail, pattern)
    # A custom resolver found the view in another way.
    return _route(f"/{match.route}", match.view_name if match.url_name else None, match.func)


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        # Reading the port raises if it is invalid.
        _ = parts.port
    except ValueError:
        # `urlsplit` also raises for brackets without a valid IPv6 address.
        raise LookupError(f"{url!r} is not a valid URL") from None
    return unquote(parts.path)


def patterns_of_allowed() -> tuple[str, ...] | None:
    """The patterns in the setting for the routes that need no guard, or ``None`` if routes are not checked.

    Raises:
        ImproperlyConfigured: the value in the setting is invalid.
    """
    return GuardSettings().unguarded if hasattr(settings, SETTING) else None


def is_allowed(route: Route, patterns: Iterable[str]) -> bool:
    """Whether one of ``patterns`` equals the path, name or view of a route, or matches it as a shell pattern."""
    names = [name for name in (route.path, route.name, route.view) if name is not None]
    # Compare for equality too, because a path may contain characters that have a meaning in a pattern.
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)


def is_excused(route: Route, patterns: Iterable[str]) -> bool:
    """Whether a route needs no guard, because its author has reviewed it or ``patterns`` allow it."""
    return route.review is not None or is_allowed(route, patterns)


@dataclass(frozen=True, slots=True)
class _Trail:
    """The way to a pattern: the route as Django writes it, its readable form, namespaces and URL configurations."""

    written: str = ""
    path: str = ""
    namespaces: tuple[str, ...] = ()
    within: tuple[Any, ...] = ()

    def to(self, pattern: Any) -> "_Trail":
        # Join the parts as Django does, so that `ResolverMatch.route` can be compared with the result.
        part = str(pattern.pattern)
        written = self.written + (part.removeprefix("^") if self.written else part)
        namespace = getattr(pattern, "namespace", None)
        namespaces = (*self.namespaces, namespace) if namespace else self.namespaces
        return replace(self, written=written, path=self.path + _readable(pattern.pattern), namespaces=namespaces)


def _route_at(trail: _Trail, pattern: URLPattern) -> Route:
    name = ":".join((*trail.namespaces, pattern.name)) if pattern.name else None
    return _route(f"/{trail.path}", name, pattern.callback)


def _route(path: str, name: str | None, callback: Any) -> Route:
    guarding = guarding_of_callback(callback)
    view, kind = _describe_view(callback)
    return Route(
        path=path,
        name=name,
        view=view,
        callback=callback,
        is_async=is_async(callback),
        kind=kind,
        csrf_exempt=_is_csrf_exempt(callback, guarding),
        guarding=guarding,
    )


def _resolver(urlconf: Any) -> URLResolver:
    if urlconf is None and not getattr(settings, "ROOT_URLCONF", None):
        raise ImproperlyConfigured("ROOT_URLCONF must be set, because without it the site has no URLs")
    return get_resolver(urlconf)


def _walk(resolver: URLResolver, trail: _Trail) -> Iterator[tuple[_Trail, URLPattern]]:
    """The URL patterns, each with what leads to its view. The views are not examined here."""
    patterns = _patterns(resolver)
    if any(resolver.urlconf_module is each for each in trail.within):
        raise ImproperlyConfigured(f"the URL configuration {_name_of_urlconf(resolver)} includes itself")
    trail = replace(trail, within=(*trail.within, resolver.urlconf_module))
    for pattern in patterns:
        there = trail.to(pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, there)
        else:
            yield there, pattern


def _patterns(resolver: URLResolver) -> Sequence[URLPattern | URLResolver]:
    is_imported = False
    try:
        is_imported = bool(resolver.urlconf_module)
        patterns = list(resolver.url_patterns)
    except (Exception, SystemExit) as error:
        # A module may raise anything when it is imported. SystemExit would end the process with the module's status.
        has_no_list = is_imported and isinstance(error, ImproperlyConfigured)
        said = "must have a list of patterns" if has_no_list else f"cannot be loaded: {_describe_error(error)}"
        raise ImproperlyConfigured(f"the URL configuration {_name_of_urlconf(resolver)} {said}") from error
    for pattern in patterns:
        if not isinstance(pattern, URLPattern | URLResolver):
            raise ImproperlyConfigured(
                f"the URL configuration {_name_of_urlconf(resolver)} must contain only results of path(), re_path() or "
                f"include(), got {type(pattern).__name__}"
            )
    return patterns


def _describe_error(error: BaseException) -> str:
    """What a module raised, without the message, because that may contain the site's settings and so its secrets."""
    if isinstance(error, ImportError | SyntaxError):
        # Python itself writes these messages, with rare exceptions.
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    # Name the line in the innermost module. What it called, such as `path`, is not at fault.
    frame = next((each for each in reversed(frames) if each.name == "<module>"), frames[-1])
    return f"{type(error).__name__} ({PurePath(frame.filename).name}, line {frame.lineno})"


def _name_of_urlconf(resolver: URLResolver) -> str:
    urlconf: Any = resolver.urlconf_name
    return urlconf if isinstance(urlconf, str) else getattr(urlconf, "__name__", type(urlconf).__name__)


def _readable(pattern: Any) -> str:
    """A part of a path in readable form, as an argument of `path`."""
    if not isinstance(pattern, RegexPattern):
        return str(pattern)
    written = str(pattern)
    bare = written.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    try:
        # The longest form that Django would use for a reversed URL. Django cannot reverse every pattern.
        fullest = max((form for form, _ in normalize(written)), key=len, default="") or bare
    except (ValueError, IndexError, RuntimeError):
        # The pattern has flags or conditions, or is not a valid regular expression.
        return bare
    return re.sub(r"%\((\w+)\)s", r"<\1>", fullest)


def _is_csrf_exempt(callback: Any, guarding: ViewGuards) -> bool:
    mark = getattr(callback, "csrf_exempt", False)
    if isinstance(mark, ExemptByGuard):
        # The mark itself may be false because of the site's middleware.
        return not any(guard.checks_sessions for guard in guarding.guards)
    return bool(mark)


def _describe_view(callback: Any) -> tuple[str, str]:
    """The dotted path of the innermost view, and its kind."""
    layers = list(layers_of(callback))
    innermost = layers[-1]
    if operations := operations_of(innermost):
        views = [innermost_of(operation.view_func) for operation in operations]
        return ", ".join(dict.fromkeys(map(dotted_path, views))), "operation"
    if (cls := class_behind(innermost)) is not None:
        return dotted_path(cls), "class"
    if not inspect.isroutine(innermost):
        return dotted_path(type(innermost)), "object"
    if any(isinstance(layer, partial) for layer in layers):
        return dotted_path(innermost), "partial"
    return dotted_path(innermost), "method" if isinstance(innermost, MethodType) else "function"


def dotted_path(view: Any) -> str:
    """The dotted path of a view; for an object, that of its class."""
    # Some built-in functions have no module, and objects have no name.
    module = getattr(view, "__module__", None)
    name = getattr(view, "__qualname__", type(view).__qualname__)
    return f"{module}.{name}" if module else name


def _describe_guards(guards: Iterable[ViewGuard]) -> str:
    return " and then ".join(guard.describe() for guard in guards) or _UNGUARDED
