"""Overrides: what a test uses instead of a request's credentials. Protectors read them; only the test kit sets them.

In production, the cost is one read of a context variable that is not set.
"""

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from ..errors import GuardError
from ..protocol.credentials import Credentials

__all__ = ["Layer", "TokenOverride", "current_override", "begin_override"]


@dataclass(frozen=True, slots=True)
class TokenOverride:
    """An override for the credentials and the validators. Everything else is checked as usual.

    Attributes:
        credentials: called with the schemes that the protector supports. Returns the credentials to use instead of the
            request's.
        validators: used instead of the protector's validators.
        has_proof: whether the token is presented with the scheme ``DPoP`` and a proof in the request, which is checked.
    """

    credentials: Callable[[Collection[str]], Credentials | GuardError]
    validators: Sequence[Any]
    has_proof: bool = False

    def present(self, schemes: Collection[str]) -> Credentials | GuardError:
        """The credentials to use instead of those of the request, with the validators for them."""
        credentials = self.credentials({"dpop"}.intersection(schemes) if self.has_proof else schemes)
        if isinstance(credentials, Credentials):
            return replace(credentials, validators=self.validators, has_proof=self.has_proof)
        return credentials


@dataclass(slots=True, eq=False, repr=False)
class Layer:
    """One override on top of earlier ones. If it has ended, ``override`` is ``None`` in every context with a copy."""

    override: TokenOverride | None
    outer: "Layer | None"

    def end(self) -> None:
        """End the override here, and in every task or thread that was started with a copy of this context."""
        self.override = None


_LAYER: ContextVar[Layer | None] = ContextVar("async_oauth_guard.override", default=None)


def current_override() -> TokenOverride | None:
    """The innermost override of this context that has not ended, or ``None``."""
    layer = _LAYER.get()
    while layer is not None:
        override = layer.override
        if override is not None:
            return override
        layer = layer.outer
    return None


def begin_override(override: TokenOverride) -> Layer:
    """Apply an override in this context, and in contexts that are copied from it, until the layer ends.

    A context variable can be reset only in the context that set it, and a test may end in another one. So the variable
    is never reset; instead, layers end.
    """
    outer = _LAYER.get()
    while outer is not None and outer.override is None:
        outer = outer.outer
    layer = Layer(override, outer)
    _LAYER.set(layer)
    return layer
