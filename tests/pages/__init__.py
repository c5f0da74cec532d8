"""The pages tried as a reader would: `blocks.py` finds and runs what they show, `network.py` is whom one meets."""
