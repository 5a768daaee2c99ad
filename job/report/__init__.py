"""What came of it, for a reader: one page, one report.json, drawn from rows and objects alone."""
