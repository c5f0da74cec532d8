"""Those who bring the bytes (streams.Source), a file each.

export_api.py    an export server over HTTP
folder.py        a folder of files, with or without a listing
files.py         files by path or pattern
url_list.py      URLs from a list or a manifest (manifest.py)
piped.py         what comes on standard input, or from any iterator
saving.py        any other source, its verified files kept in a folder; parquet.py: as Parquet
scripted.py      what a test says

What they bring them with:

replies.py       what a reply's head means for a download: pure decisions
resuming.py      a byte stream that is tried again, resumed, or begun anew
retrying.py      how often, how long to wait, how long anything may take
backoff.py       what the streams of one origin know in common: whether it is up, and who asks
watching.py      minimum rate and time limits, at no cost to the pieces
claiming.py      one run at a time writes to a folder; partial.py: what there is on the disk of a file in the making
compression.py   how bytes are compressed, and what a decoder promises; gunzip.py, unzstd.py: neither cut nor bombs
unpacking.py     a stream decompressed on its way; proving.py: one held against an announced SHA-256
exchange.py      one GET and its reply, as a protocol; http.py: over aiohttp; http_faults.py: its errors in our words
"""
