"""Producers, one bounded queue, consumers, and the merge: an export becomes one state while it downloads.

run.py        the Pipeline: who produces, who consumes, when it ends; options.py: how
download.py   one download's life, over all its attempts
span.py       a span on its way (SpanRun), and how far it has got (SpanState)
ranges.py     the one merger: neighbours are joined in order, whatever order they come in
producers.py  streams are read and divided; downloads are brought to their verdicts
consumers.py  chunks are folded; workers.py: in which threads
slabs.py      the buffers that bytes come into, and their queue; waits.py: how long was waited
verdicts.py   the one rule book; variety.py: limits; advice.py: what may help
ledger.py     accounts, merged states, downloads in flight, and when they are saved
checkpoint.py the file they are saved in; checking.py: is it sound; rechecking.py: does the source still have the same
sharing.py    what processes that share an export give each other
streams.py    what a source must offer
peeking.py    provisional statistics of a run that goes on

It knows bytes and chunks, but no HTTP and no files.
"""
