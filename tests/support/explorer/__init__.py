"""Every order in which the store calls of overlapping requests can follow each other, one run for each order.

``crew`` lets requests take turns, ``tree`` chooses whose turn it is, ``kinds`` says what requests do, ``world`` runs them
through the middleware, ``model`` holds what came out against the promises, ``plan`` says who meets whom, and ``mutations``
breaks the package on purpose. ``python -m tests.support.explorer`` walks it all and prints the table of docs/explorer.md.
"""
