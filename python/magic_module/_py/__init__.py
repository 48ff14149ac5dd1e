"""What only Python can find out, and what is for people. Nothing here is imported before it is used.

It lies behind one underscore name so that none of our files can hide a unit of `magic_module`.
"""
