"""Producers, one bounded queue, consumers, and the merge: an export becomes one state while it downloads.

run.py       the Pipeline: who produces, who consumes, when it ends
flights.py   one download on its way, over all its attempts
producing.py producers: streams are read, divided and judged
landed.py    what the spans of one download have come to
lanes.py     one attempt: chunks in order, and what they are folded into; the queue that hands them out
sharing.py   what is said between processes that share an export
keeping.py   the checkpoint of a run: what is taken over, saved, and when
peeking.py   a look into a run that goes on

It knows bytes and chunks, but no HTTP and no files.
"""
