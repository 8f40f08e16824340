"""What sessions cost: wsgisession, the libraries that users would take instead, and a floor, measured in one run.

``python -m benchmarks`` prints the tables of ``docs/benchmarks.md``. Except for ``profile``, it uses only public names
of wsgisession.
"""
