"""A byte stream that goes on where it broke off, by RFC 9110, or starts over.

replies.py   what a reply's head means for a download: pure decisions
exchange.py  one GET and its reply, as a protocol
stream.py    the stream: tried again, resumed, or started over
retrying.py  how often, how long to wait, how long anything may take
backoff.py   what the streams of one origin share: whether it is up, and which of them asks
watching.py  minimum rate and time limits, at no cost to the pieces
"""
