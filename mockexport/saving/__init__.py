"""Files kept while they are read: a source beside another.

source.py    any other source, its verified files kept in a folder
parquet.py   the same rows as Parquet files
partial.py   what there is on the disk of a file in the making
claiming.py  one run at a time writes to a folder
"""
