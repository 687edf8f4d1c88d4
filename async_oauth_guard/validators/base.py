"""What every validator is: a scheme, a realm, the hooks that Authlib's users know, and doors to the same rules."""

from typing import Any

from authlib.oauth2.rfc6749 import TokenValidator as AuthlibTokenValidator

from ..challenges import check_parameters
from ..credentials import PresentedToken, Secret
from ..effects import Flow
from ..errors import Reason
from ..flows.authorization import Inquiry, judge_flow, require_flow
from ..hooks import door, hook
from ..requirements import parse_requirements
from ..runtime import arun, run_outside_loop
from ..tokens import TokenState, read_attribute, read_user

__all__ = ["TokenValidator"]


class TokenValidator(AuthlibTokenValidator):
    """Base class for a source of tokens of one's own.

    A subclass defines ``authenticate_token(token)``, ``def`` or ``async def``, which finds and verifies a token and
    returns it, or ``None``. What it returns has Authlib's ``is_expired()``, ``is_revoked()`` and ``get_scope()``;
    otherwise the subclass defines ``validate_token(token, scopes, request)`` as well and is the sole judge.
    ``validate_request(request)`` and ``scope_insufficient(token_scopes, required_scopes)`` may be defined too.

    Args:
        realm: the protection space that challenges name (RFC 9110 §11.5).
        extra_attributes: further parameters of every challenge.

    Raises:
        ValueError: the realm or an attribute cannot stand in a challenge.
    """

    TOKEN_TYPE = "bearer"
    require_active_user = True
    blocking_methods = False
    # Whether what a token says of itself is read from its claims alone, without a method that may query.
    _has_state_at_hand = False
    # Whether it cannot serve where a subclass's `__init__` left ours out.
    _needs_init = False
    _twins: tuple[str, ...] = ("aauthenticate_token", "avalidate_token")

    def __init__(self, realm: str | None = None, **extra_attributes: Any) -> None:
        check_parameters(realm, extra_attributes)
        super().__init__(realm, **extra_attributes)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls._twins:
            if hook(cls, name) is None:
                continue
            # Fail closed: the guard asks the other, whatever the colour of the view.
            raise TypeError(f"{cls.__name__}.{name}() would never be called: write async def {name[1:]}()")

    @door
    def recognises(self, token: str) -> bool:
        """Whether ``token`` could be one of this validator's; it is asked nothing about any other. Does no I/O."""
        return True

    def owns(self, issuer: str | None) -> bool | None:
        """Whether a JWT of ``issuer`` (unverified; ``None`` for a token that is no JWT) is this validator's alone.

        ``False`` where it cannot be this validator's at all, ``None`` where it may be.
        """
        return None

    @door
    def authenticate_token(self, token_string: str) -> Any:
        """Find and verify a token; ``None`` where it is unknown. Lifetime and scopes are *not* judged.

        Raises:
            InvalidTokenError: it is known to be no good.
            TemporarilyUnavailableError: its source could not be asked.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        # From here on no frame of ours shows it.
        token_string = PresentedToken(token_string)
        return run_outside_loop(self.authenticate_flow(Secret(token_string)), "await aauthenticate_token()")

    @door
    async def aauthenticate_token(self, token_string: str) -> Any:
        """See `authenticate_token`."""
        token_string = PresentedToken(token_string)
        return await arun(self.authenticate_flow(Secret(token_string)))

    @door
    def validate_token(
        self, token: Any, scopes: Any, request: Any, groups: Any = None, roles: Any = None, entitlements: Any = None
    ) -> None:
        """Judge a token that ``authenticate_token`` found: its lifetime and user, scopes, groups, roles, entitlements.

        Raises:
            InvalidTokenError, InsufficientScopeError: it is refused.
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        flow = self._judge_flow(token, scopes, request, groups=groups, roles=roles, entitlements=entitlements)
        run_outside_loop(flow, "await avalidate_token()")

    @door
    async def avalidate_token(
        self, token: Any, scopes: Any, request: Any, groups: Any = None, roles: Any = None, entitlements: Any = None
    ) -> None:
        """See `validate_token`."""
        await arun(self._judge_flow(token, scopes, request, groups=groups, roles=roles, entitlements=entitlements))

    def _judge_flow(self, token: Any, scopes: Any, request: Any, **attributes: Any) -> Flow[None]:
        requirements = parse_requirements(scopes, **attributes)
        # A request, where there is one, is Authlib's, which knows its URI.
        inquiry = Inquiry(
            requirements=requirements,
            request=None,
            hook_request=lambda: request,
            uri=lambda: getattr(request, "uri", None),
        )
        yield from require_flow((yield from judge_flow(self, token, inquiry)), inquiry)

    def authenticate_flow(self, token: Secret[str], inquiry: Inquiry | None = None) -> Flow[Any]:
        """How this kind of validator finds a token; a class without one defines ``authenticate_token``."""
        raise NotImplementedError(f"{type(self).__name__} defines no authenticate_token()")

    def read_state(self, token: Any, inquiry: Inquiry) -> TokenState:
        """What the token says of itself, in Authlib's order, and no more than is needed for a refusal."""
        if token.is_expired():
            return TokenState(Reason.EXPIRED)
        if token.is_revoked():
            return TokenState(Reason.REVOKED)
        return self._read_grant(token, token.get_scope(), inquiry)

    def _read_grant(self, token: Any, scope: Any, inquiry: Inquiry) -> TokenState:
        user = read_user(token)
        attributes = {name: read_attribute(token, name) for name in inquiry.requirements.attributes}
        reason = Reason.INACTIVE_USER if self.require_active_user and not _is_active(token, user) else None
        return TokenState(reason, scope, user, attributes)


def _is_active(token: Any, user: Any) -> bool:
    if user is None:
        # A token of nobody, of a client: but not the token of a user who is gone.
        return not hasattr(type(token), "user") or read_attribute(token, "user_id") is None
    return bool(getattr(user, "is_active", True))
