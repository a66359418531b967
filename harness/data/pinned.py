"""Files of the Hub at a pinned commit: tokenizers and weights."""

from __future__ import annotations

from pathlib import Path

from harness.errors import RemoteError


def hub_file(repo: str, name: str, revision: str, *, offline: bool = False) -> Path:
    """The file ``name`` of ``repo`` at the commit ``revision``, in the Hub library's cache.

    An ``offline`` run looks into the cache only, as does one under ``HF_HUB_OFFLINE``.

    Raises:
        RemoteError: it is not there and could not be downloaded.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                repo, name, revision=revision, local_files_only=offline, library_name="harness"
            )
        )
    except Exception as problem:  # of two HTTP libraries
        why = str(problem).partition("\n")[0]
        hint = "; --offline takes it from the Hub's cache only" if offline else ""
        raise RemoteError(
            f"{name} of {repo} at {revision[:12]} could not be had: {why}{hint}"
        ) from None
