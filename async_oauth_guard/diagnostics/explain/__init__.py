"""Explains why a token is let in or refused, by reporting each rule that validation applied.

Rules and their order do not belong here: they are in the tables of `protocol` and `validators`.
"""

from .explanation import Explanation, ValidatorExplanation, aexplain, explain
from .steps import Step

__all__ = ["Explanation", "Step", "ValidatorExplanation", "aexplain", "explain"]
