"""Faces of a report."""
