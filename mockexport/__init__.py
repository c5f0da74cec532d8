"""Statistics while you download: every file of a data export fetched at once, parsed and reduced as it arrives."""

__version__ = "0.1.0"
