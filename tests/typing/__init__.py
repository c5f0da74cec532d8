"""What is only type-checked: never run, never collected."""
