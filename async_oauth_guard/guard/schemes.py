"""Sorts the validators of a protector by the auth-schemes that they serve."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..conf import Options

__all__ = ["sort_by_scheme"]


def sort_by_scheme(validators: Iterable[Any], options: Options) -> Mapping[str, Sequence[Any]]:
    """The validators for each scheme, in lower case."""
    schemes: dict[str, list[Any]] = {}
    for validator in validators:
        serving = schemes.setdefault(validator.TOKEN_TYPE.lower(), [])
        # Authlib keeps only the first validator of each scheme.
        if not options.as_authlib or not serving:
            serving.append(validator)
    if not schemes and not options.as_authlib:
        raise ImproperlyConfigured("this ResourceProtector must have a token validator; without one, no token is valid")
    if options.dpop is not None and "bearer" in schemes:
        # A token is presented with either scheme. What it is bound to says which one is right.
        schemes["dpop"] = [*schemes["bearer"], *schemes.get("dpop", ())]
        if options.dpop.required:
            del schemes["bearer"]
    return schemes
