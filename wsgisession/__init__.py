"""Server-side sessions for any WSGI application."""
