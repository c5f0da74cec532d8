"""Faces of a report: columns for a terminal, CSV for a spreadsheet, a page for a browser.

plain.py    text for terminals: harmless, shortened, aligned       table.py   the report as columns
csv.py      the report as CSV
markup.py   HTML that is escaped unless it says otherwise; the look of all pages, style.css
charts.py   ranges and coverage as SVG                             html.py    the report as a page
account.py  how the run went, on that page

Rules: nothing here computes a statistic; text in, text out, and whatever comes from data is made harmless. The same
report gives the same text.
"""
