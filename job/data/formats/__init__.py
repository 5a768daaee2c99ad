"""The formats of a user's data: class folders, tables, arrays. Each says which image is of which
class.

Knows archives, decoded pixels and names; knows no experiment.
"""
