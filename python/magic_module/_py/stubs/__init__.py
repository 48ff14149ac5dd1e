"""Stub packages (PEP 561) of units that are not imported: what type checkers read instead of them.

`outline` makes a stub of a source, `folder` writes stubs where type checkers look for them.
"""
