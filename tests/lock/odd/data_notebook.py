"""nbconvert finds its templates below the prefix, and its exporters by their entry points."""

import hashlib
import pathlib
import subprocess

import nbformat
import nbformat.v4 as v4
from nbconvert import HTMLExporter

cell = v4.new_code_cell("1 + 1", outputs=[v4.new_output("execute_result", {"text/plain": "2"})], id="a")
notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Title", id="b"), cell])
html, _ = HTMLExporter().from_notebook_node(notebook)
print("Title" in html, len(html) > 100_000, hashlib.sha256(html.encode()).hexdigest())
nbformat.write(notebook, "book.ipynb")
done = subprocess.run(["jupyter", "nbconvert", "--to", "html", "book.ipynb"], capture_output=True, check=False)
print(done.returncode, hashlib.sha256(pathlib.Path("book.html").read_bytes()).hexdigest())
