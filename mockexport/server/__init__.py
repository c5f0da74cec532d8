"""The mock export server."""
