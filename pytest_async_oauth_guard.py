"""The fixtures of the test kit. Nothing of the package is imported until one is used."""
