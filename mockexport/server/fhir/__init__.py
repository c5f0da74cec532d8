"""The mock server's other door: its exports as FHIR Bulk Data jobs over the same rows.

routes.py         kick-off, status, manifest, files, DELETE: the HTTP of it
jobs.py           jobs and their manifests, as values
observations.py   rows → Observations, a line each, in all the forms that hospitals have
bodies.py         a file's bytes, right or wrong
authorization.py  SMART Backend Services: keys in, tokens out
"""
