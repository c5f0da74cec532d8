"""Commands that take longer than a suite may: they throw large amounts of hostile input at the package."""
