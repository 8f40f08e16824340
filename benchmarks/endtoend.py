"""Placeholder."""
def run(quick, say):
    return {}
