"""The framework's exception for a refusal."""

from rest_framework.exceptions import APIException

from ...errors import GuardError

__all__ = ["RefusalError"]


class RefusalError(APIException):  # type: ignore[misc]
    """A refused request. The framework's exception handler responds with the status, body and headers of ``error``.

    It is neither ``AuthenticationFailed`` nor ``NotAuthenticated``: the framework replaces the challenge of those by
    that of the first authentication class, or their status by 403 if that class has none.

    Attributes:
        error: the `GuardError`, with its ``reason`` and its challenge.
        auth_header, wait: what the framework's exception handler puts into ``WWW-Authenticate`` and ``Retry-After``.
    """

    def __init__(self, error: GuardError) -> None:
        super().__init__(dict(error.get_body()), str(error.error))
        headers = dict(error.get_headers())
        self.error = error
        self.status_code = error.status_code
        self.auth_header = headers.get("WWW-Authenticate")
        self.wait = None if error.retry_after is None else int(error.retry_after)
