"""Configuration: the setting ``OAUTH_GUARD``, and the options of a protector. Options of validators are not here."""

from .options import Options, RenderError, check_validator
from .settings import SETTING, GuardSettings

__all__ = ["SETTING", "GuardSettings", "Options", "RenderError", "check_validator"]
