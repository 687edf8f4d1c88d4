"""The management commands: their arguments, output and exit status.

Code that examines a site does not belong here but in `diagnostics`, so that it can be used without a command.
"""
