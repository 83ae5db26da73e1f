"""The Web Panel: replays a seeded stream of user tags against a server and judges its answers.

Pure parts: stream, oracles, questions, judges. Input and output: connections, subscription, cli.
"""
