"""States and verdicts in, the report and the account of the run out; and the faces of the two.

report.py    the report; json.py: as JSON; keyed.py: its mappings   account.py  how the run went
notes.py     what needs to be known beside the figures               overlaps.py  downloads over the same time
frame.py     a report as flat rows and as columns                    csv.py       as CSV
plain.py     text for terminals: harmless, shortened, aligned        table.py     the report as columns of text
markup.py    HTML that is escaped unless it says otherwise; the look of all pages, style.css
html.py      the report as a page, and its parts: html_account.py (how the run went), courses.py and course_chart.py
             (courses over time), listed.py (all patients, for page.js)
charts.py    ranges and coverage as SVG; axes.py: the marks of an axis; charts.js: reading a chart by pointer or keys
cell.py      a report under a notebook's cell

Rules: nothing here computes a statistic; text in, text out, and whatever comes from data is made harmless. The same
report gives the same text.
"""
