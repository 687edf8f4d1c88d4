"""Guards operations of Django Ninja before Ninja reads their parameters. Ninja itself is not imported."""

from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, ForwardRef

__all__ = ["INSTALLED", "NINJA", "PASSED", "guard_operations", "is_operation", "operations_of"]

NINJA = "ninja.operation"
"""The module of Ninja's operations and of the views around them."""
PASSED = "_oauth_passed"
"""The attribute of a request that holds the guards that let it in before Ninja read it."""

INSTALLED = "_oauth_installed"
"""The attribute of an API for which our error responses are installed."""

_CONTRIBUTIONS = "_ninja_contribute_to_operation"
_RUN_DECORATORS = "_run_decorators"

_Decorator = Callable[[Any], Any]


def is_operation(candidate: Any) -> bool:
    """Whether this is an operation of Ninja: a function of the site together with its path, methods and parameters."""
    return any(cls.__module__ == NINJA for cls in type(candidate).__mro__)


def operations_of(view: Any) -> Sequence[Any]:
    """The operations behind a view of Ninja. For each HTTP method, Ninja runs the first one that has it."""
    # Not `__module__`, which decorators copy.
    if not isinstance(view, FunctionType) or view.__globals__.get("__name__") != NINJA:
        return ()
    behind = (cell.cell_contents for cell in view.__closure__ or ())
    return next((each.operations for each in behind if hasattr(each, "operations")), ())


def guard_operations(guarded: Any, view: Any, guard_run: _Decorator) -> None:
    """Guard the operations of a function: the one that it has, and each one that ``guarded`` is registered for.

    Args:
        guarded: the guarded function.
        view: the same function without its guard.
        guard_run: puts the guard around ``Operation.run``, which does everything that Ninja does for a request.
    """
    # Ninja sets this on each function that it registers: here, the decorator is above Ninja's.
    operation = getattr(view, "_ninja_operation", None)
    if is_operation(operation):
        _decorate_run(operation, guard_run)
    # Ninja calls these when it registers a function: here, the decorator is below Ninja's. Do not append to the list,
    # because `update_wrapper` has copied it from the function.
    earlier = getattr(guarded, _CONTRIBUTIONS, ())
    setattr(guarded, _CONTRIBUTIONS, [*earlier, partial(_contribute, guarded, view, guard_run)])


def _contribute(guarded: Any, view: Any, guard_run: _Decorator, operation: Any) -> None:
    if operation.view_func is guarded:
        _resolve_annotations(operation, view)
    _decorate_run(operation, guard_run)


def _resolve_annotations(operation: Any, view: Any) -> None:
    """Resolve annotations that are strings in the module of ``view``. Ninja has tried it in the module of the guard."""
    signature = operation.signature
    if any(isinstance(each.annotation, ForwardRef) for each in signature.signature.parameters.values()):
        operation.signature = type(signature)(operation.path, view)
        operation.models = operation.signature.models


def _decorate_run(operation: Any, guard_run: _Decorator) -> None:
    operation.run = guard_run(operation.run)
    # Ninja's newer releases copy each operation for each API, and apply these to the copy.
    setattr(operation, _RUN_DECORATORS, [*getattr(operation, _RUN_DECORATORS, ()), guard_run])
