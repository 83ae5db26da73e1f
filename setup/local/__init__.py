"""The whole platform as ordinary processes of one machine, under one run folder.

``python -m setup.local up`` for people, `setup.local.platform.Platform` for tests.
"""
