"""A byte stream that goes on where it broke off, by RFC 9110, or begins anew.

replies.py   what a reply's head means for a download: pure decisions
exchange.py  one GET and its reply, as a protocol
stream.py    the stream: tried again, resumed, or begun anew
retrying.py  how often, how long to wait, how long anything may take
backoff.py   what the streams of one origin know in common: whether it is up, and who asks
watching.py  minimum rate and time limits, at no cost to the pieces
"""
