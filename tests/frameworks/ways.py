"""The ways to guard a view of Django REST framework or adrf, each named as in the tables of ``docs/frameworks.md``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.urls import path
from django.utils.decorators import method_decorator
from rest_framework.decorators import action
from rest_framework.response import Response

from async_oauth_guard import ProtectedResourceMixin, ResourceProtector
from tests.sites import Witness


class RestWitness(Witness):
    """Answers with the framework's own response."""

    def answer(self, request: Any) -> Any:
        self.entered += 1
        token = request.oauth_token
        return Response({"token": token is not None, "user": token and token.user.username})


@dataclass(frozen=True)
class Framework:
    """What Django REST framework and adrf both have. ``is_async`` is the kind of the handlers that it is tried with."""

    APIView: Any
    ListAPIView: Any
    ViewSet: Any
    SimpleRouter: Any
    api_view: Any
    is_async: bool
    list: str = "list"

    def handler(self, witness: Witness) -> Any:
        """A method for a view that lets the witness answer."""

        def sync_handler(self: Any, request: Any, **kwargs: Any) -> Any:
            return witness.answer(request)

        async def async_handler(self: Any, request: Any, **kwargs: Any) -> Any:
            return witness.answer(request)

        return async_handler if self.is_async else sync_handler

    def function(self, witness: Witness) -> Any:
        """A function below ``@api_view``."""

        def sync_function(request: Any) -> Any:
            return witness.answer(request)

        async def async_function(request: Any) -> Any:
            return witness.answer(request)

        return async_function if self.is_async else sync_function


@dataclass(frozen=True)
class ViewGuards:
    """A protector, and the arguments for it."""

    protector: ResourceProtector
    arguments: dict[str, Any]

    def guard(self, view: Any) -> Any:
        return self.protector(**self.arguments)(view)


# A view, or a list of patterns.
MakeView = Callable[[Framework, Witness, ViewGuards], Any]


def method(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.APIView):  # type: ignore[misc]
        get = guarding.guard(framework.handler(witness))

    return Notes.as_view()


def decorated_method(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.APIView):  # type: ignore[misc]
        get = method_decorator(guarding.guard)(framework.handler(witness))

    return Notes.as_view()


def class_(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    @guarding.guard
    class Notes(framework.APIView):  # type: ignore[misc]
        get = framework.handler(witness)

    return Notes.as_view()


def dispatch(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    @method_decorator(guarding.guard, name="dispatch")
    class Notes(framework.APIView):  # type: ignore[misc]
        get = framework.handler(witness)

    return Notes.as_view()


def mixin(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(ProtectedResourceMixin, framework.APIView):  # type: ignore[misc]
        required_scopes = guarding.arguments.get("scopes")
        oauth_optional = guarding.arguments.get("optional", False)
        protector = guarding.protector
        get = framework.handler(witness)

    return Notes.as_view()


def as_view_result(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.APIView):  # type: ignore[misc]
        get = framework.handler(witness)

    return guarding.guard(Notes.as_view())


def below_api_view(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    return framework.api_view(["GET"])(guarding.guard(framework.function(witness)))


def above_api_view(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    return guarding.guard(framework.api_view(["GET"])(framework.function(witness)))


def generic_view(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    @method_decorator(guarding.guard, name="get")
    class Notes(framework.ListAPIView):  # type: ignore[misc]
        queryset = User.objects.all()

    setattr(Notes, framework.list, framework.handler(witness))
    return Notes.as_view()


def action_of_view_set(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.ViewSet):  # type: ignore[misc]
        pass

    setattr(Notes, framework.list, guarding.guard(framework.handler(witness)))
    return routed(framework, Notes)


def below_action(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.ViewSet):  # type: ignore[misc]
        recent = action(detail=False, url_path="notes")(named("recent", guarding.guard(framework.handler(witness))))

    return routed(framework, Notes, prefix="")


def above_action(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.ViewSet):  # type: ignore[misc]
        recent = guarding.guard(action(detail=False, url_path="notes")(named("recent", framework.handler(witness))))

    return routed(framework, Notes, prefix="")


def router(framework: Framework, witness: Witness, guarding: ViewGuards) -> Any:
    class Notes(framework.ViewSet):  # type: ignore[misc]
        pass

    setattr(Notes, framework.list, framework.handler(witness))
    return [path("", guarding.protector.protect_urls(routed(framework, Notes), **guarding.arguments))]


def routed(framework: Framework, view_set: Any, prefix: str = "notes") -> Any:
    router = framework.SimpleRouter()
    router.register(prefix, view_set, basename="notes")
    return router.urls


def named(name: str, handler: Any) -> Any:
    # The framework looks for an action by the name of its function.
    handler.__name__ = name
    return handler


WAYS: dict[str, MakeView] = {
    "`@require_oauth` on a method of an `APIView`": method,
    '`@method_decorator(require_oauth("…"))` on a method': decorated_method,
    "`@require_oauth` on the class": class_,
    '`@method_decorator(require_oauth("…"), name="dispatch")` on the class': dispatch,
    "`ProtectedResourceMixin` before `APIView`": mixin,
    '`require_oauth("…")(NotesView.as_view())`': as_view_result,
    "`@require_oauth` below `@api_view`": below_api_view,
    "`@require_oauth` above `@api_view`": above_api_view,
    '`@method_decorator(require_oauth("…"), name="get")` on a generic view': generic_view,
    "`@require_oauth` on `list`, `retrieve`, … of a view set": action_of_view_set,
    "`@require_oauth` below `@action`": below_action,
    "`@require_oauth` above `@action`": above_action,
    '`require_oauth.protect_urls(router.urls, "…")`': router,
}

# The guard runs before the framework's view, on Django's request. In all other ways it runs as part of the handler.
BEFORE_THE_VIEW = (class_, dispatch, mixin, as_view_result, above_api_view, router)
