"""The parts of ``python -m wsgisession``, one module each. Knows nothing itself."""
