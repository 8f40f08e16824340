"""What sessions cost: wsgisession, what users would pick instead, and a floor, measured side by side in one run.

``python -m benchmarks`` prints the tables of ``docs/benchmarks.md``. But for ``profile`` it knows wsgisession by its public
names only.
"""
