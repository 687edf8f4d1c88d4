"""Makes a Django request of an ASGI scope, in front of Django."""

import io
from collections.abc import Mapping
from typing import IO, Any, NoReturn, cast
from urllib.parse import quote

from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.http import HttpRequest
from django.urls import set_script_prefix
from django.utils.functional import cached_property

__all__ = ["HiddenScope", "ScopeRequest", "read_credential_fields", "read_header"]

_CREDENTIALS: Mapping[bytes, str] = {b"authorization": "HTTP_AUTHORIZATION", b"dpop": "HTTP_DPOP"}
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class HiddenScope(dict[str, Any]):
    """A scope whose ``repr``, which error reports show, hides the token in its headers."""

    def __repr__(self) -> str:
        return f"<scope {self.get('type')} {self.get('path')!r}>"


class ScopeRequest(ASGIRequest):
    """The request of an ``http`` scope. Most of it is read from the scope when code first asks for some of that.

    The body cannot be read, because it belongs to the application.
    """

    resolver_match = None
    # Guards look for these in each request. To find nothing is slow, if it must raise an error.
    _oauth_trace = _oauth_rejection = _oauth_dpop_nonce = None
    _oauth_handovers = ()

    def __init__(self, scope: Mapping[str, Any]) -> None:
        # Not the constructor of the base class: a refusal seldom needs more than this.
        self.scope = scope
        self.method = scope["method"].upper()

    @cached_property
    def presented(self) -> Mapping[str, str]:
        """The header fields with credentials, by their names in ``META``."""
        found: dict[str, str] = {}
        for key, value in self.scope.get("headers") or ():
            name = _CREDENTIALS.get(key.lower())
            if name is not None:
                line = value.decode("latin-1")
                # As Django does with the lines of a repeated field.
                found[name] = f"{found[name]},{line}" if name in found else line
        return found

    def __getattr__(self, name: str) -> Any:
        # A guard's own attributes are never in the scope. A copy that is being made has no scope yet.
        if name.startswith("_oauth_") or "META" in vars(self) or "scope" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._read_scope()
        return getattr(self, name)

    def _read_scope(self) -> None:
        scope = self.scope
        # Django refuses a query that is not UTF-8. It must not make a hook fail before that.
        query = quote(scope.get("query_string") or b"", safe=_PRINTABLE)
        super().__init__({**scope, "query_string": query}, cast("IO[bytes]", _Body()))
        self.scope = scope
        set_script_prefix(get_script_prefix(scope))


def read_credential_fields(request: HttpRequest) -> Mapping[str, Any]:
    """The header fields with credentials: ``META``, or only these if it has not been made."""
    if type(request) is not ScopeRequest or "META" in vars(request):
        return request.META
    return request.presented


def read_header(request: HttpRequest, name: str) -> str | None:
    """The value of a header field with credentials, by its name in ``META``."""
    value: str | None = read_credential_fields(request).get(name)
    return value


class _Body(io.RawIOBase):
    """The body of a request that has not reached the application yet."""

    def read(self, *args: Any) -> NoReturn:
        # Not empty: a check that depends on the body must not take it for that.
        raise io.UnsupportedOperation("a guard in front of an ASGI application cannot read the body of a request")
