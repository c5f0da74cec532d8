"""Sources: they list an export's downloads and stream their bytes (pipeline.streams.Source), a file for each.

opening.py       which source a user means, and the default (embedded.py: the mock server, for a run)
export_api.py    an export server over HTTP
folder.py        a folder of files, with or without a listing
files.py         files by path or pattern
url_list.py      URLs from a list or a manifest (manifest.py)
piped.py         what comes on standard input, or from any iterator
fhir/            FHIR Bulk Data
scripted.py      bytes and faults that a test has written down

What they are made of:

metadata.py      the export API's replies; listing.py: exports kept as files
proving.py       a stream held against an announced SHA-256
http.py          one GET and its reply, over aiohttp; http_faults.py: its errors in our words
receiving.py     a body received straight into the reader's memory; importing.py: aiohttp imported in half the time
addresses.py     addresses that are refused
"""
