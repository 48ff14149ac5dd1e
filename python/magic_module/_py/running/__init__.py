"""Scripts that run in processes of their own, within limits.

```text
run, arun    starting ─ ahead (fetches, in a process of its own) ─▶ command, environment
             watching ─ pipes ─▶ output, report ─▶ result: a Run
the process  inside ─ forks (src/uses/run/) ─▶ supervisor, script
```
"""
