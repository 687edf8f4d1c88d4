"""The test kit, as its users use it. The package that it tests is that of the whole suite; see `tests.kit.urls`."""
