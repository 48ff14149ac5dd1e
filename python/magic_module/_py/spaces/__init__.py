"""Spaces: what each tenant has of its own.

```text
space          mm.Space: names one, changes it, lets a process work in it
requirements   what a space asks for, line by line
```
"""
