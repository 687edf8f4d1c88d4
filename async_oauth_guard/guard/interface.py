"""What the modules of this package use of a `ResourceProtector`, whose module imports them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from django.http import HttpRequest

from ..conf import Options
from ..errors import GuardError
from ..protocol.credentials import Credentials
from ..protocol.requirements import Requirements
from ..runtime.effects import Flow
from ..validators.authorization_context import Authorization

__all__ = ["Protector"]


class Protector(Protocol):
    """See the members of `ResourceProtector`."""

    csrf_exempt: bool

    @property
    def options(self) -> Options: ...
    @property
    def validators(self) -> Sequence[Any]: ...
    def check_keywords(self, requirements: Requirements) -> None: ...
    def by_scheme(self) -> Mapping[str, Sequence[Any]]: ...
    def read_credentials(self, request: HttpRequest) -> Credentials | GuardError: ...
    def authorize_flow(
        self, request: HttpRequest, requirements: Requirements, credentials: Credentials | GuardError
    ) -> Flow[Authorization]: ...
