"""Attributes that the site's tokens and users need not have."""

from types import SimpleNamespace
from typing import Any

import pytest

from async_oauth_guard.protocol.attributes import read_optional


class Dynamic:
    """Has an attribute that its class does not know."""

    def __getattr__(self, name: str) -> Any:
        if name == "cnf":
            return 1
        raise AttributeError(name)


class Slotted:
    __slots__ = ("cnf",)


class Faulty:
    @property
    def cnf(self) -> Any:
        return self.missing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("owner", "expected"), [(object(), 0), (SimpleNamespace(), 0), (SimpleNamespace(cnf=1), 1), (Dynamic(), 1)]
)
def test_read_optional(owner: Any, expected: int) -> None:
    """Wherever an attribute is, it counts. Without one, the default does."""
    assert read_optional(owner, "cnf", 0) == expected
    assert read_optional(owner, "x") is None


@pytest.mark.parametrize("owner", [Faulty(), Slotted()])
def test_faults(owner: Any) -> None:
    """An attribute that the class has, and that cannot be read, is not a missing one."""
    with pytest.raises(AttributeError):
        read_optional(owner, "cnf")
