"""Takes tokens and logins out of what a remote says, before anyone sees it."""

from __future__ import annotations

import os
import re


def scrub(text: str) -> str:
    """``text`` without tokens and logins."""
    from huggingface_hub import get_token

    for secret in filter(None, (get_token(), os.environ.get("HF_TOKEN"))):
        text = text.replace(secret, "<token>")
    text = re.sub(r"hf_[A-Za-z0-9]{4,}", "<token>", text)
    text = re.sub(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{12,}", r"\1 <token>", text)
    return re.sub(r"://[^/\s@]+@", "://", text)


def one_line(text: str) -> str:
    """What a remote said, on one line, scrubbed; addresses lose their queries, which may be
    signatures, and shortened ones, of which nobody knows where the query began, go whole."""
    line = re.sub(r"\((…|\.\.\.)\)\S*", "(…)", " ".join(text.split()))
    line = re.sub(r"(?<=\S)\?[^\s\"'<>)]*[=&%][^\s\"'<>)]*", "", line)
    line = re.sub(r"[\w.%-]+=[^\s&\"'<>)]+(&[\w.%-]+=[^\s&\"'<>)]*)+", "<query>", line)
    line = re.sub(r"(?i)\b(x-amz-[\w-]+|signature|policy|key-pair-id)=\S+", r"\1=<hidden>", line)
    return scrub(line)[:300]
