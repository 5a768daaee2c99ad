"""The results of an experiment for its readers: one page and one report.json.

Both come from rows and stored objects alone.
"""
