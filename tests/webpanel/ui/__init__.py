"""The Web Panel as a page: the Subscription API, the process that sends, and the page itself.

The server never sends the stream: `sender` does, in a process of its own. `web/` is the page.
"""
