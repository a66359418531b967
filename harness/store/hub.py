"""Talks to the Hub through ``huggingface_hub``'s public functions, with bounded patience.

``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and the library's cache count as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.store.calls import Calls


@frozen
class Remote:
    """One file of a repository: its size, and ``sha256`` or git's ``blob`` hash."""

    bytes: int
    sha256: str | None
    blob: str


class Hub:
    """One login at one endpoint."""

    def __init__(
        self,
        *,
        wait: float | None = None,
        offline: bool = False,
        endpoint: str | None = None,
        cache: Path | None = None,
    ) -> None:
        """``wait`` is ``$HARNESS_HUB_WAIT`` or 30 seconds; ``offline`` leaves only the cache."""
        self.offline, self.endpoint, self.cache = offline, endpoint, cache
        self._calls = Calls(wait, offline)

    def download(self, repo: str, commit: str, path: str, most: int) -> Path:
        """The file ``path`` of ``repo`` at ``commit``, in the library's cache.

        Raises:
            RemoteError: the Hub cannot be reached or refuses.
            TooLarge: it has more than ``most`` bytes.
        """
        from huggingface_hub import hf_hub_download

        def ask() -> str:
            return hf_hub_download(
                repo,
                path,
                revision=commit,
                cache_dir=self.cache,
                endpoint=self.endpoint,
                local_files_only=self.offline,
                library_name="harness",
            )

        what = f"{repo} at {commit[:12]}: {path}"
        return Path(self._calls.call(what, ask, most))

    def create(self, repo: str, *, private: bool) -> None:
        """Make the model repository ``repo`` unless it is there."""
        ask = lambda: self._api().create_repo(repo, private=private, exist_ok=True)  # noqa: E731
        self._calls.call(f"creating {repo}", ask)

    @property
    def received(self) -> int:
        """The bytes that have come so far."""
        return self._calls.received

    def stop(self) -> None:
        """End what other threads are fetching; nothing is asked any more."""
        self._calls.stopped = True

    def pull_request(self, repo: str, title: str) -> tuple[str, str]:
        """Open a pull request of ``repo``: the revision to commit to, and its address."""
        ask = lambda: self._api().create_pull_request(repo, title, description=title)  # noqa: E731
        made = self._calls.call(f"opening a pull request of {repo}", ask)
        return str(made.git_reference), str(made.url)

    def collect(self, repo: str, collection: str) -> None:
        """Add ``repo`` to a collection unless it is there."""

        def ask() -> Any:
            return self._api().add_collection_item(collection, repo, "model", exists_ok=True)

        self._calls.call(f"adding {repo} to the collection {collection}", ask)

    def head(self, repo: str, revision: str | None = None) -> str:
        """The commit that ``revision`` of ``repo``, or ``main``, is at."""
        ask = lambda: self._api().repo_info(repo, revision=revision).sha  # noqa: E731
        return str(self._calls.call(f"{repo} at {revision}" if revision else repo, ask))

    def files(self, repo: str, commit: str) -> dict[str, Remote]:
        """Every file of ``repo`` at ``commit``, by path."""

        def ask() -> list[Any]:
            return list(self._api().list_repo_tree(repo, revision=commit, recursive=True))

        return {
            found.path: Remote(found.size, found.lfs.sha256 if found.lfs else None, found.blob_id)
            for found in self._calls.call(f"the files of {repo}", ask)
            if hasattr(found, "blob_id")
        }

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes | Path],
        message: str,
        *,
        parent: str | None = None,
        revision: str | None = None,
    ) -> str:
        """Add ``files`` in one commit to ``revision`` or ``main``; Conflict when that is no longer
        at ``parent``."""
        from huggingface_hub import CommitOperationAdd

        def ask() -> str:
            additions = [
                CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
                for path, content in files.items()
            ]
            made = self._api().create_commit(
                repo,
                additions,
                commit_message=message,
                parent_commit=parent,
                revision=revision,
            )
            return str(made.oid)

        return self._calls.call(f"committing to {repo}", ask)

    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, library_name="harness")
