"""Compressed bytes, read as they come: neither cut nor bombs pass.

compression.py  how bytes are compressed, and what a decoder promises
gunzip.py       gzip; unzstd.py: zstd; transcoding.py: UTF-16; health.py: XML of Apple's Health app
stream.py       a stream decompressed on its way
"""
