"""What ``python -m wsgisession`` is made of, a room for each part. Knows nothing itself."""
