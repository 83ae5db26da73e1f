"""The front door without Ray: Serve's HAProxy configuration with our rules, in front of fakes.

Behind it is the real HTTP stack of a replica: uvicorn, Serve's middleware, front, and endpoints.
"""
