"""The doctor checks what the guards of a site depend on: settings, authorization servers, caches, databases.

Output does not belong here: the command `oauth_doctor` prints the findings.
"""

from .examination import SITE, Examination, Finding, Severity
from .site import diagnose

__all__ = ["SITE", "Examination", "Finding", "Severity", "diagnose"]
