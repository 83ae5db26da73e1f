"""The Web Panel as a page: the Subscription API, the sender process, and the page itself.

The stream is sent by `sender`, in its own process, not by the server. `web/` is the page.
"""
