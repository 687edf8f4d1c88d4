"""The frames of an error, of which error reports show the local variables."""

import traceback
from types import FrameType


def frames_of_package(error: BaseException) -> list[FrameType]:
    """The frames of the package's functions in the traceback of ``error``."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame for frame in frames if frame.f_globals["__name__"].startswith("async_oauth_guard")]


def check_frames(error: BaseException, secret: str) -> None:
    """No local variable of the package shows the secret."""
    frames = frames_of_package(error)
    assert frames
    for frame in frames:
        assert secret not in repr(frame.f_locals), frame.f_code
