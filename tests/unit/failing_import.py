"""A module of a site that cannot be imported, because it has a bug."""

raise NameError("a bug")
