"""The HTTP side: the Serve application ``case12`` and its parts.

``core`` holds what both sides share; everything else here is private to this side.
"""
