"""What happens when the process forks, as with gunicorn's ``preload_app``.

A child has none of the threads of its parent, and a lock that one of them held stays locked. So each module that has
threads, locks or waiting requests says here how to begin anew. Results that are cached stay cached.
"""

import os
from collections.abc import Callable

__all__ = ["renew_in_child"]


def renew_in_child(renew: Callable[[], object]) -> None:
    """Call ``renew`` in each child of this process, before any other code runs there."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=renew)
