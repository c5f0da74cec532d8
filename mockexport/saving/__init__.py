"""Files kept while they are read: a source that wraps another.

source.py    wraps any source and keeps its verified files in a folder
parquet.py   the same rows as Parquet files
partial.py   how much of an unfinished file is on the disk
claiming.py  one run at a time writes to a folder
"""
