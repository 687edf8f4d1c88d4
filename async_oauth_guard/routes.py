"""The views of a URL configuration: what each is, and what guards it."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from types import MethodType
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern
from django.utils.regex_helper import normalize

from .conf import SETTING, GuardSettings
from .guarding import Guarding, class_behind, guarding_of, layers_of
from .requirements import describe_requirements
from .runtime import is_async
from .session_checks import EXEMPT_WHILE_CHECKED
from .validators.introspection import IntrospectTokenValidator
from .validators.remote import RemoteTokenValidator
from .view_guard import ViewGuard

__all__ = [
    "Route",
    "describe_validators",
    "endpoint_of",
    "guards_of",
    "is_allowed",
    "issuers_of",
    "iter_routes",
    "name_of_validator",
    "patterns_of_allowed",
    "route_of",
]

_UNGUARDED = "unguarded"


@dataclass(frozen=True, slots=True)
class Route:
    """A URL pattern, with its view and what guards that.

    Attributes:
        path: what it matches, to be read: ``/reports/<int:year>``.
        name: its name with its namespaces, ``None`` where it has none.
        view: the dotted path of the view itself, below what wraps it.
        callback: what Django calls.
        colour: ``"sync"`` or ``"async"``, by which Django calls it.
        kind: ``"function"``, ``"method"``, ``"partial"``, ``"object"`` or ``"class"``.
        guards: what each of its requests has to pass, outermost first.
        guards_by_method: of a class with a guard before some of its handlers, those before each handler.
        csrf_exempt: whether Django's CSRF check lets all its requests be. Behind an optional guard it does not:
            requests without a token are checked.
        is_guarded: whether no request reaches the view but past a guard. One that is optional is a guard too.
    """

    path: str
    name: str | None
    view: str
    callback: Any
    colour: Literal["sync", "async"]
    kind: str
    guards: tuple[ViewGuard, ...]
    guards_by_method: Mapping[str, tuple[ViewGuard, ...]]
    csrf_exempt: bool
    is_guarded: bool

    @property
    def requirement(self) -> str:
        """What is asked of a request, in words; ``"unguarded"`` where nothing is."""
        whole = _describe_guards(self.guards)
        if not any(self.guards_by_method.values()):
            return whole
        if self.guards:
            own = [f"and {method}: {_describe_guards(each)}" for method, each in self.guards_by_method.items() if each]
            return "; ".join([whole, *own])
        return "; ".join(f"{method}: {_describe_guards(each)}" for method, each in self.guards_by_method.items())

    @property
    def validators(self) -> str:
        """Who judges the tokens, in words: ``"none"`` where nobody does, ``"?"`` where the settings do not tell."""
        return "; ".join(dict.fromkeys(describe_validators(guard.protector) for guard in self.all_guards))

    def guards_for(self, method: str) -> tuple[ViewGuard, ...]:
        """The guards that a request with this HTTP method has to pass, outermost first."""
        return guards_of(self.callback, method)

    def as_json(self) -> dict[str, Any]:
        """The route as JSON holds it."""
        return {
            "path": self.path,
            "name": self.name,
            "view": self.view,
            "colour": self.colour,
            "kind": self.kind,
            "guarded": self.is_guarded,
            "requirement": self.requirement,
            "validators": self.validators,
            "csrf_exempt": self.csrf_exempt,
        }

    @property
    def all_guards(self) -> tuple[ViewGuard, ...]:
        """The guards of the view, and those of its handlers."""
        return (*self.guards, *(guard for guards in self.guards_by_method.values() for guard in guards))


def guards_of(view: Any, method: str | None = None) -> tuple[ViewGuard, ...]:
    """The guards that each request for a view has to pass, outermost first.

    ``view`` is a view of any kind, or a class. With ``method``, those of its handler for that method are among them.
    """
    guarding = guarding_of(view)
    return guarding.guards_for(method) if method else guarding.guards


def iter_routes(urlconf: Any = None) -> Iterator[Route]:
    """Every URL pattern of the site, or of ``urlconf``, in the order in which Django tries them.

    Raises:
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    for _, route in _walk(_resolver(urlconf), _Trail()):
        yield route


def route_of(path: str, urlconf: Any = None) -> Route:
    """The route that answers ``path``, such as ``/reports/2024``; a whole URL will do.

    Raises:
        LookupError: none does.
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    resolver = _resolver(urlconf)
    # First of all, that a broken configuration is said as one.
    routes = list(_walk(resolver, _Trail()))
    try:
        match = resolver.resolve(unquote(urlsplit(path).path))
    except Resolver404:
        raise LookupError(f"no view answers {path!r}") from None
    for written, route in routes:
        if written == match.route and route.callback is match.func:
            return route
    # Of a resolver that finds views in ways of its own.
    return _route(f"/{match.route}", match.view_name if match.url_name else None, match.func)


def patterns_of_allowed() -> tuple[str, ...] | None:
    """The setting's patterns for the routes that need no guard; ``None`` where it has none.

    Raises:
        ImproperlyConfigured: the setting has a value there that cannot work.
    """
    return GuardSettings().unguarded if hasattr(settings, SETTING) else None


def is_allowed(route: Route, patterns: Iterable[str]) -> bool:
    """Whether one of ``patterns`` is the path, the name or the view of a route, or matches it as a shell would."""
    names = [name for name in (route.path, route.name, route.view) if name is not None]
    # A path as it is shown may have characters that mean something in a pattern.
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)


@dataclass(frozen=True, slots=True)
class _Trail:
    """The way to a pattern: as Django writes it, to be read, the namespaces, and the configurations on the way."""

    written: str = ""
    path: str = ""
    namespaces: tuple[str, ...] = ()
    within: tuple[Any, ...] = ()

    def to(self, pattern: Any) -> "_Trail":
        # As Django joins them, for a match to be found again.
        part = str(pattern.pattern)
        written = self.written + (part.removeprefix("^") if self.written else part)
        namespace = getattr(pattern, "namespace", None)
        namespaces = (*self.namespaces, namespace) if namespace else self.namespaces
        return replace(self, written=written, path=self.path + _readable(pattern.pattern), namespaces=namespaces)


def _resolver(urlconf: Any) -> URLResolver:
    if urlconf is None and not getattr(settings, "ROOT_URLCONF", None):
        raise ImproperlyConfigured("ROOT_URLCONF is not set, so the site has no URLs")
    return get_resolver(urlconf)


def _walk(resolver: URLResolver, trail: _Trail) -> Iterator[tuple[str, Route]]:
    patterns = _patterns(resolver)
    if any(resolver.urlconf_module is each for each in trail.within):
        raise ImproperlyConfigured(f"the URL configuration {_name_of_urlconf(resolver)} includes itself")
    trail = replace(trail, within=(*trail.within, resolver.urlconf_module))
    for pattern in patterns:
        there = trail.to(pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, there)
        else:
            name = ":".join((*there.namespaces, pattern.name)) if pattern.name else None
            yield there.written, _route(f"/{there.path}", name, pattern.callback)


def _patterns(resolver: URLResolver) -> Sequence[URLPattern | URLResolver]:
    try:
        patterns = list(resolver.url_patterns)
    except Exception as error:
        # Whatever a module may raise when it is imported.
        said = " ".join(str(error).split())
        raise ImproperlyConfigured(
            f"the URL configuration {_name_of_urlconf(resolver)} cannot be loaded: {type(error).__name__}: {said}"
        ) from error
    for pattern in patterns:
        if not isinstance(pattern, URLPattern | URLResolver):
            raise ImproperlyConfigured(
                f"the URL configuration {_name_of_urlconf(resolver)} has a {type(pattern).__name__} among its patterns"
            )
    return patterns


def _name_of_urlconf(resolver: URLResolver) -> str:
    urlconf: Any = resolver.urlconf_name
    return urlconf if isinstance(urlconf, str) else getattr(urlconf, "__name__", type(urlconf).__name__)


def _readable(pattern: Any) -> str:
    """A part of a path, to be read: as `path` has it."""
    if not isinstance(pattern, RegexPattern):
        return str(pattern)
    written = str(pattern)
    bare = written.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    # The fullest of those that Django would give a reversed URL; none for what it cannot reverse.
    fullest = max((form for form, _ in normalize(written)), key=len, default="") or bare
    return re.sub(r"%\((\w+)\)s", r"<\1>", fullest)


def _route(path: str, name: str | None, callback: Any) -> Route:
    guarding = guarding_of(callback)
    view, kind = _describe_view(callback)
    return Route(
        path=path,
        name=name,
        view=view,
        callback=callback,
        colour="async" if is_async(callback) else "sync",
        kind=kind,
        guards=guarding.guards,
        guards_by_method=guarding.by_method,
        csrf_exempt=_is_csrf_exempt(callback, guarding),
        is_guarded=guarding.is_whole,
    )


def _is_csrf_exempt(callback: Any, guarding: Guarding) -> bool:
    mark = getattr(callback, "csrf_exempt", False)
    if mark is EXEMPT_WHILE_CHECKED:
        # The mixin bears it whatever it asks for.
        return not any(guard.optional for guard in guarding.guards)
    return bool(mark)


def _describe_view(callback: Any) -> tuple[str, str]:
    """The dotted path of a view, below what wraps it, and its kind."""
    layers = list(layers_of(callback))
    innermost = layers[-1]
    if (cls := class_behind(innermost)) is not None:
        return _dotted_path(cls), "class"
    if not inspect.isroutine(innermost):
        return _dotted_path(type(innermost)), "object"
    if any(isinstance(layer, partial) for layer in layers):
        return _dotted_path(innermost), "partial"
    return _dotted_path(innermost), "method" if isinstance(innermost, MethodType) else "function"


def _dotted_path(view: Any) -> str:
    return f"{view.__module__}.{view.__qualname__}"


def _describe_guards(guards: Iterable[ViewGuard]) -> str:
    return " and then ".join(map(_describe_guard, guards)) or _UNGUARDED


def _describe_guard(guard: ViewGuard) -> str:
    words = describe_requirements(guard.requirements)
    return f"optional: {words}" if guard.optional else words


def describe_validators(protector: Any) -> str:
    """The validators of a protector, in words: ``"none"``, or ``"?"`` where they cannot be told."""
    try:
        return ", ".join(map(name_of_validator, protector.validators)) or "none"
    except Exception:
        # The settings are wrong, or the class of one of their validators is; the system checks say how.
        return "?"


def name_of_validator(validator: Any) -> str:
    """The class of a validator, and of a remote one the server; without a query, which may hold a key."""
    server = ", ".join(sorted(issuers_of(validator))) or endpoint_of(validator)
    return type(validator).__name__ + (f" of {server.partition('?')[0]}" if server else "")


def issuers_of(validator: Any) -> set[str]:
    """The issuers that a remote validator names."""
    # Of a subclass that compares issuers by itself, it may be anything.
    issuer: Any = validator.issuer if isinstance(validator, RemoteTokenValidator) else None
    issuers = issuer if isinstance(issuer, list | tuple | set | frozenset) else [issuer]
    return {each for each in issuers if isinstance(each, str)}


def endpoint_of(validator: Any) -> str | None:
    """The introspection endpoint that a validator names."""
    return validator.introspection_endpoint if isinstance(validator, IntrospectTokenValidator) else None
