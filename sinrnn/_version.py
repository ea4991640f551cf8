"""The version, where files of the package can read it without importing the whole."""

__version__ = "0.2.0"
