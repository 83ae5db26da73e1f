"""Secrets of an instance: generated when absent, one file each, for their owner's eyes only."""

import os
import secrets

from setup.local.folder import RunFolder


def password(folder: RunFolder, name: str) -> str:
    """The secret of that name; the same at every call for the same run folder."""
    file = folder.secrets / name
    if not file.exists():
        value = secrets.token_urlsafe(24)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(value)
    return file.read_text()
