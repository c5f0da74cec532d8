"""Producers, one bounded queue, consumers, and the merge: an export becomes one state while it downloads.

run.py        the Pipeline: who produces, who consumes, when it ends; options.py: how
download.py   one download's life, over all its attempts
span.py       a span on its way (SpanRun), and how far it has got (SpanState)
ranges.py     the one merger: neighbours are joined in order, whatever order they come in
producers.py  streams are read and divided; downloads are brought to their verdicts
consumers.py  chunks are folded; workers.py: in which threads
slabs.py      the buffers that bytes come into, and their queue; waits.py: how long was waited
verdicts.py   the one rule book; variety.py: limits; advice.py: what may help
ledger.py     what came of what, and when it is saved; checkpoint.py: the file
sharing.py    what is said between processes that share an export
streams.py    what is asked of a source
peeking.py    a look into a run that goes on

It knows bytes and chunks, but no HTTP and no files.
"""
