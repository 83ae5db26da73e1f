"""The front door without Ray: Serve's HAProxy configuration with our rules, before fakes.

Behind it is the real HTTP stack of a replica: uvicorn, Serve's middleware, front, and endpoints.
"""
