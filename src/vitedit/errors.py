"""Errors a person can cause and mend. Each message says what was asked, what exists and what to do."""


class ViteditError(ValueError):
    """Base of all errors that are shown to a person as one message, without a traceback."""


class ConfigError(ViteditError):
    """A configuration file has an unknown key, a wrong type or an impossible value."""


class UnknownNameError(ViteditError):
    """A parameter, site, class, method or stage of that name does not exist."""


class ArtifactError(ViteditError):
    """A checkpoint, table or archive is missing, damaged, or was made under another configuration."""


class ImageError(ViteditError):
    """An image or a set of images is missing, empty or unreadable."""


class NumericalError(ViteditError):
    """A loss or a weight became NaN or infinite."""
