"""Tools that examine a site: system checks, routes, the doctor, and why a token is refused.

Code that a request needs does not belong here: no package that guards requests imports this one.
"""
