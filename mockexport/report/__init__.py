"""States and verdicts in, the report and the account of the run out; and the faces of the two.

report.py  the report and its JSON                          account.py  how the run went
frame.py   a report as flat rows and as columns
plain.py   text for terminals: harmless, shortened, aligned  table.py   the report as columns of text
csv.py     the report as CSV
markup.py  HTML that is escaped unless it says otherwise; the look of all pages, style.css
charts.py  ranges and coverage as SVG                        html.py    the report as a page
html_account.py  how the run went, on that page

Rules: nothing here computes a statistic; text in, text out, and whatever comes from data is made harmless. The same
report gives the same text.
"""
