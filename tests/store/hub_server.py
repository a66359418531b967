"""A small Hub on this machine: what an unmodified ``huggingface_hub`` needs, with faults.

Repositories are dictionaries of commits. A fault is (method, part of the path, action, times); an
action is a status with headers and a body, or one of ``reset``, ``cut``, ``slow``, ``drip`` (a byte
every 50 ms), ``hang`` (no answer at all) and ``flip``.

As the real one, it is asked what to do with at most 256 files at once, has one address where every
upload is verified, takes regular files of a commit only up to a size, says that Xet has every large
file (where ``xet`` is set, at an address that never answers) and signs the addresses of contents.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "test-login-of-nobody"  # noqa: S105 (opens nothing)
SIGNATURE = "5e1f" * 16  # of addresses, which nobody may see
AT_ONCE = 256
LFS_SUFFIX = ".safetensors"


class Fault:
    """Something that goes wrong, ``times`` times, for requests that match."""

    def __init__(self, method: str, part: str, action: Any, times: int = 10**6) -> None:
        self.method, self.part, self.action, self.times = method, part, action, times
        self.skip = 0  # so many matches pass first

    def hits(self, method: str, path: str) -> bool:
        if self.method != method or self.part not in path or self.times <= 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Repo:
    """Commits in order, each a dictionary of path to content."""

    def __init__(self) -> None:
        first = sha1(b"first")
        self.commits: dict[str, dict[str, bytes]] = {first: {".gitattributes": b"* lfs\n"}}
        self.refs = {"main": first}
        self.private = False
        self.requests: list[str] = []  # titles of pull requests

    @property
    def head(self) -> str:
        return self.refs["main"]


class HubServer:
    """``with HubServer() as hub`` serves at ``hub.endpoint``."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.need_token = False
        self.xet = False
        self.collected: list[tuple[str, str]] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # nobody listens
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method: str, part: str, action: Any, times: int = 10**6) -> None:
        self.faults.append(Fault(method, part, action, times))

    def environment(self, home: Any) -> dict[str, str]:
        """Points a process at this Hub, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HARNESS_HUB_WAIT": "1.5",
        }

    def flip(self, part: str) -> str:
        """Flip one bit of the last file whose path has ``part``; returns the path."""
        repo = next(iter(self.repos.values()))
        path = sorted(p for p in repo.commits[repo.head] if part in p)[-1]
        for files in repo.commits.values():
            if path in files:
                content = bytearray(files[path])
                content[len(content) // 2] ^= 1
                files[path] = bytes(content)
        return path


def blob_id(content: bytes) -> str:
    return sha1(b"blob %d\0" % len(content) + content)


def sha1(content: bytes) -> str:
    """Git's hash, which protects nothing here."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self, status: int, body: bytes | Any = b"", **headers: str) -> None:
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            step = 1 if self.fault == "drip" else len(body) or 1
            for place in range(0, len(body) if self.command != "HEAD" else 0, step):
                self.wfile.write(body[place : place + step])
                if self.fault == "drip":
                    self.wfile.flush()
                    hub.closing.wait(0.05)

        def reset(self) -> None:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline().strip(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def handle_any(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path))
            content = self.body()
            with hub.lock:
                fault = next((f for f in hub.faults if f.hits(self.command, path)), None)
            self.fault = fault.action if fault else None
            if self.fault == "hang":
                hub.closing.wait(60)
                self.fault = "reset"
            if self.fault == "slow":  # but as it should be, for whoever has the patience
                hub.closing.wait(5)
            if self.fault == "reset":
                self.reset()
            elif isinstance(self.fault, tuple):
                status, headers, said = self.fault
                self.answer(status, said.encode(), **headers)
            elif not self.allowed(path):
                self.answer(401, {"error": "Invalid username or password."})
            else:
                self.route(path, content)

        def allowed(self, path: str) -> bool:
            signed = path.startswith(("/lfs/", "/cdn/"))
            return (
                not hub.need_token
                or signed
                or self.headers.get("Authorization") == f"Bearer {TOKEN}"
            )

        do_GET = do_HEAD = do_POST = do_PUT = handle_any

        def route(self, path: str, content: bytes) -> None:
            if path == "/api/repos/create":
                return self.create(json.loads(content))
            if path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
                return self.preupload(json.loads(content))
            if path == "/lfs/verify":
                known = json.loads(content)["oid"] in hub.blobs
                return self.answer(200 if known else 404, {})
            if found := re.fullmatch(r"/api/collections/(.+)/items", path):
                hub.collected.append((found[1], json.loads(content)["item"]["id"]))
                return self.answer(
                    200,
                    {
                        "slug": found[1],
                        "title": "x",
                        "owner": "lab",
                        "items": [],
                        "lastUpdated": "2026-01-01T00:00:00.000Z",
                        "position": 0,
                        "private": False,
                        "theme": "blue",
                        "upvotes": 0,
                    },
                )
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/discussions(/\d+)?", path):
                return self.discussion(found[1], content)
            if "/xet-read-token/" in path:
                hub.closing.wait(60)
                return self.reset()
            if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
                return self.batch(json.loads(content))
            if found := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
                if hashlib.sha256(content).hexdigest() != found[1]:
                    return self.answer(400, {"error": "wrong bytes"})
                hub.blobs[found[1]] = content
                return self.answer(200)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
                return self.commit(found[1], found[2], content)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
                return self.tree(found[1], found[2])
            if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
                return self.resolve(*found.groups())
            if found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path):
                return self.file(*found.groups())
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                return self.info(found[1], found[2] or "main")
            return self.answer(404, {"error": f"no route {path}"})

        def create(self, asked: dict[str, Any]) -> None:
            name = f"{asked['organization']}/{asked['name']}"
            there = name in hub.repos
            repo = hub.repos.setdefault(name, Repo())
            repo.private = asked.get("visibility") == "private" or asked.get("private") is True
            self.answer(409 if there else 200, {"url": f"{hub.endpoint}/{name}"})

        def missing(self) -> None:
            self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

        def info(self, name: str, revision: str) -> None:
            if name not in hub.repos or revision not in hub.repos[name].refs:
                return self.missing()
            return self.answer(
                200, {"id": name, "sha": hub.repos[name].refs[revision], "siblings": []}
            )

        def discussion(self, name: str, content: bytes) -> None:
            repo = hub.repos[name]
            if self.command == "POST":
                repo.requests.append(json.loads(content)["title"])
                repo.refs[f"refs/pr/{len(repo.requests)}"] = repo.head
            number = len(repo.requests)
            found = {"num": number, "title": repo.requests[-1], "status": "draft", "events": [],
                     "author": {"name": "somebody"}, "isPullRequest": True,
                     "createdAt": "2026-01-01T00:00:00.000Z", "filesWithConflicts": [],
                     "repo": {"name": name, "type": "model"}, "diff": "",
                     "changes": {"base": "refs/heads/main"}}  # fmt: skip
            self.answer(200, found)

        def preupload(self, asked: dict[str, Any]) -> None:
            if len(asked["files"]) > AT_ONCE:
                return self.answer(413, {"error": "too many files"})
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(LFS_SUFFIX) else "regular",
                    "shouldIgnore": False,
                }
                for f in asked["files"]
            ]
            return self.answer(200, {"files": files})

        def batch(self, asked: dict[str, Any]) -> None:
            objects = []
            for wanted in asked["objects"]:
                found = dict(wanted)
                if wanted["oid"] not in hub.blobs:
                    found["actions"] = {
                        "upload": {"href": f"{hub.endpoint}/lfs/{wanted['oid']}?sig={SIGNATURE}"},
                        "verify": {"href": f"{hub.endpoint}/lfs/verify"},
                    }
                objects.append(found)
            self.answer(200, {"transfer": "basic", "objects": objects})

        def commit(self, name: str, revision: str, content: bytes) -> None:
            if name not in hub.repos or revision not in hub.repos[name].refs:
                return self.missing()
            lines = [json.loads(line) for line in content.splitlines()]
            repo, header = hub.repos[name], lines[0]["value"]
            before = repo.refs[revision]
            if header.get("parentCommit", before) != before:
                return self.answer(412, {"error": "A commit has happened since"})
            files = dict(repo.commits[before])
            for line in lines[1:]:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                else:
                    files[value["path"]] = hub.blobs[value["oid"]]
            oid = sha1(content + before.encode())
            repo.commits[oid] = files
            repo.refs[revision] = oid
            if self.fault == "cut":  # done, but nobody hears of it
                return self.reset()
            url = f"{hub.endpoint}/{name}/commit/{oid}"
            return self.answer(200, {"commitUrl": url, "commitOid": oid})

        def tree(self, name: str, revision: str) -> None:
            if name not in hub.repos:
                return self.missing()
            found = []
            for path, content in hub.repos[name].commits[revision].items():
                entry = {"type": "file", "path": path, "size": len(content)}
                entry["oid"] = blob_id(content)
                if path.endswith(LFS_SUFFIX):
                    oid = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
                found.append(entry)
            return self.answer(200, found)

        def resolve(self, name: str, commit: str, path: str) -> None:
            if name not in hub.repos:
                return self.missing()
            content = hub.repos[name].commits.get(commit, {}).get(path)
            if content is None:
                return self.answer(
                    404, {"error": "no"}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit
                )
            if not path.endswith(LFS_SUFFIX):
                return self.file(name, commit, path)
            digest = hashlib.sha256(content).hexdigest()
            xet = {"X_Xet_Hash": digest,
                   "X_Xet_Refresh_Route": f"{hub.endpoint}/api/models/{name}/xet-read-token/x",
                   }  # fmt: skip
            return self.answer(
                302,
                X_Repo_Commit=commit,
                X_Linked_Etag=f'"{digest}"',
                X_Linked_Size=str(len(content)),
                Location=f"{hub.endpoint}/cdn/{name}/{commit}/{path}?X-Amz-Signature={SIGNATURE}",
                **(xet if hub.xet else {}),
            )

        def file(self, name: str, commit: str, path: str) -> None:
            content = hub.repos[name].commits[commit][path]
            etag = f'"{blob_id(content)}"'
            if path.endswith(LFS_SUFFIX):
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": etag, "X_Repo_Commit": commit, "X_Linked_Size": str(len(content))}
            headers["X_Linked_Etag"] = etag
            status, body = 200, content
            if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                status, body = 206, content[int(found[1]) :]
                headers["Content_Range"] = f"bytes {found[1]}-{len(content) - 1}/{len(content)}"
            if self.fault == "flip":
                body = bytes([body[0] ^ 1]) + body[1:]
            if self.fault == "cut" and self.command == "GET":
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                return self.reset()
            return self.answer(status, body, **headers)

    return Handler
