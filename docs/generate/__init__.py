"""Makes the reference pages from the code, so that nothing public can be missing from them: `python -m docs.generate`.

One room a page; each has a function `page() -> str` that reads the code's own declarations and gives Markdown. The same
code gives the same bytes. `tests/unit/docs` fails when a page is not what this makes.
"""
