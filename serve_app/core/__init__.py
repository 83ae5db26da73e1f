"""What both sides agree on: wire types, settings, names, pure rules.

Nothing in here imports Ray or a client library, so all of it is tested with plain values.
"""
