"""Those who bring the bytes (streams.Source), a file each.

export_api.py    an export server over HTTP
folder.py        a folder of files
saving.py        any other source, its verified files kept in a folder
retrying.py      a byte stream that is tried again
http_faults.py   what aiohttp raises, in our own words
"""
