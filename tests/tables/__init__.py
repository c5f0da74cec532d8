"""Tables that are drawn together with their descriptions, and what is in them; tables of the kinds that people have.

values.py, times.py   one cell: how it is written, and what it is; writing.py: fields and lines by the signs drawn
describing.py         a description: columns, how they are referred to, which rows are wanted
drawing.py            a table that fits it, with the figures that a careful person would compute
checking.py           what the engines make of it, whole, in pieces and in spans, held against that
soak.py               the same for hours: `python -m tests.tables.soak`
"""
