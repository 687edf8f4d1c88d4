"""The views of a URL configuration: what each is, and what guards it."""

import inspect
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePath
from types import MethodType
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern
from django.utils.regex_helper import normalize

from .conf import SETTING, GuardSettings
from .guarding import Guarding, class_behind, guarding_of, guarding_of_callback, layers_of
from .runtime import is_async
from .session_checks import EXEMPT_WHILE_CHECKED
from .validators.naming import describe_validators
from .view_guard import ViewGuard

__all__ = [
    "TO_GUARD",
    "Route",
    "dotted_path",
    "guards_of",
    "import_urls",
    "is_allowed",
    "iter_routes",
    "patterns_of_allowed",
    "route_of",
]

TO_GUARD = "Guard it, or name its path, its name or its view in OAUTH_GUARD['UNGUARDED']."
"""What to do about a route without a guard."""

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
        csrf_exempt: whether Django's CSRF check lets all its requests be. Behind an optional guard it does not:
            requests without a token are checked.
        guarding: the way of its requests, guards and other layers.
    """

    path: str
    name: str | None
    view: str
    callback: Any
    colour: Literal["sync", "async"]
    kind: str
    csrf_exempt: bool
    guarding: Guarding = field(repr=False)

    @property
    def guards(self) -> tuple[ViewGuard, ...]:
        """What each of its requests has to pass, outermost first."""
        return self.guarding.guards

    @property
    def guards_by_method(self) -> Mapping[str, tuple[ViewGuard, ...]]:
        """Of a class with a guard before some of its handlers, those before each handler."""
        return self.guarding.by_method

    @property
    def is_guarded(self) -> bool:
        """Whether no request reaches the view but past a guard. One that is optional is a guard too."""
        return self.guarding.is_whole

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
        return self.guarding.guards_for(method)

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
    for found in _walk(_resolver(urlconf), _Trail()):
        yield found.route()


def import_urls() -> None:
    """Import what the site's URLs name, so that each of its views has its guard.

    Raises:
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    for _ in _walk(_resolver(None), _Trail()):
        pass


def route_of(path: str, urlconf: Any = None) -> Route:
    """The route that answers ``path``, such as ``/reports/2024``; a whole URL will do.

    Raises:
        LookupError: none does, or it is no URL.
        ImproperlyConfigured: the URL configuration cannot be loaded.
    """
    resolver = _resolver(urlconf)
    # First of all, that a broken configuration is said as one.
    patterns = list(_walk(resolver, _Trail()))
    try:
        match = resolver.resolve(_path_of(path))
    except Resolver404:
        raise LookupError(f"no view answers {path!r}") from None
    for found in patterns:
        if found.written == match.route and found.callback is match.func:
            return found.route()
    # Of a resolver that finds views in ways of its own.
    return _Found(match.route, f"/{match.route}", match.view_name if match.url_name else None, match.func).route()


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        # It is read for this alone: a number that is no port.
        _ = parts.port
    except ValueError:
        # Or brackets that make no IPv6 address.
        raise LookupError(f"{url!r} is no URL") from None
    return unquote(parts.path)


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


@dataclass(frozen=True, slots=True)
class _Found:
    """A URL pattern at the end of a trail, before anybody has looked at its view."""

    written: str
    path: str
    name: str | None
    callback: Any

    def route(self) -> Route:
        callback = self.callback
        guarding = guarding_of_callback(callback)
        view, kind = _describe_view(callback)
        return Route(
            path=self.path,
            name=self.name,
            view=view,
            callback=callback,
            colour="async" if is_async(callback) else "sync",
            kind=kind,
            csrf_exempt=_is_csrf_exempt(callback, guarding),
            guarding=guarding,
        )


def _resolver(urlconf: Any) -> URLResolver:
    if urlconf is None and not getattr(settings, "ROOT_URLCONF", None):
        raise ImproperlyConfigured("ROOT_URLCONF is not set, so the site has no URLs")
    return get_resolver(urlconf)


def _walk(resolver: URLResolver, trail: _Trail) -> Iterator[_Found]:
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
            yield _Found(there.written, f"/{there.path}", name, pattern.callback)


def _patterns(resolver: URLResolver) -> Sequence[URLPattern | URLResolver]:
    is_imported = False
    try:
        is_imported = bool(resolver.urlconf_module)
        patterns = list(resolver.url_patterns)
    except (Exception, SystemExit) as error:
        # Whatever a module may raise when it is imported. One that ends the process would end it with its own status.
        has_no_list = is_imported and isinstance(error, ImproperlyConfigured)
        said = "has no list of patterns" if has_no_list else f"cannot be loaded: {_describe_error(error)}"
        raise ImproperlyConfigured(f"the URL configuration {_name_of_urlconf(resolver)} {said}") from error
    for pattern in patterns:
        if not isinstance(pattern, URLPattern | URLResolver):
            raise ImproperlyConfigured(
                f"the URL configuration {_name_of_urlconf(resolver)} has a {type(pattern).__name__} among its patterns"
            )
    return patterns


def _describe_error(error: BaseException) -> str:
    """What a module raised, without its words: a site's settings may be among them, and so its secrets."""
    if isinstance(error, ImportError | SyntaxError):
        # Python's own, but for the rare exception.
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    # What the innermost module called, such as `path`, has nothing wrong with it.
    frame = next((each for each in reversed(frames) if each.name == "<module>"), frames[-1])
    return f"{type(error).__name__} ({PurePath(frame.filename).name}, line {frame.lineno})"


def _name_of_urlconf(resolver: URLResolver) -> str:
    urlconf: Any = resolver.urlconf_name
    return urlconf if isinstance(urlconf, str) else getattr(urlconf, "__name__", type(urlconf).__name__)


def _readable(pattern: Any) -> str:
    """A part of a path, to be read: as `path` has it."""
    if not isinstance(pattern, RegexPattern):
        return str(pattern)
    written = str(pattern)
    bare = written.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    try:
        # The fullest of those that Django would give a reversed URL; none for what it cannot reverse.
        fullest = max((form for form, _ in normalize(written)), key=len, default="") or bare
    except (ValueError, IndexError, RuntimeError):
        # Flags and conditions; and what is no regular expression.
        return bare
    return re.sub(r"%\((\w+)\)s", r"<\1>", fullest)


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
        return dotted_path(cls), "class"
    if not inspect.isroutine(innermost):
        return dotted_path(type(innermost)), "object"
    if any(isinstance(layer, partial) for layer in layers):
        return dotted_path(innermost), "partial"
    return dotted_path(innermost), "method" if isinstance(innermost, MethodType) else "function"


def dotted_path(view: Any) -> str:
    """Where a view is written; of an object, its class."""
    # Some of Python's own have no module, and objects no name of their own.
    module = getattr(view, "__module__", None)
    name = getattr(view, "__qualname__", type(view).__qualname__)
    return f"{module}.{name}" if module else name


def _describe_guards(guards: Iterable[ViewGuard]) -> str:
    return " and then ".join(guard.describe() for guard in guards) or _UNGUARDED
