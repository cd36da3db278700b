"""thecal: an intrathecal pump you can flash, simulate and program. Not a medical device."""

__version__ = "0.1.0"
