"""The Web Panel's page in a real browser: headless Chromium against the real panel server."""
