"""Compressed bytes, read as they come: neither cut nor bombs pass.

compression.py  how bytes are compressed, and what a decoder promises
gunzip.py       gzip; unzstd.py: zstd; transcoding.py: UTF-16, which is read in the same way
stream.py       a stream decompressed on its way
"""
