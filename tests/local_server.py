"""A web server in a thread, for tests of downloads: with and without Range, breaking off, changing its files."""

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Files of a server and how it behaves; `requests` notes path and asked range of every GET."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tags: bool = True
    break_after: list[int] = field(default_factory=list)
    """Bytes after which one answer each breaks off."""
    status: list[int] = field(default_factory=list)
    """Status codes that one answer each has instead of a file."""
    kind: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def tag(self, content: bytes) -> str:
        return f'"{hashlib.sha256(content).hexdigest()}"'


@contextmanager
def serving():
    """A site that is served as long as the context is open."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            site.requests.append((self.path, self.headers.get("Range")))
            self._answer(body=True)

        def _answer(self, body):
            content = site.files.get(self.path.partition("?")[0])
            code = site.status.pop(0) if site.status else 200 if content is not None else 404
            if code != 200 or content is None:
                self.send_error(code)
                return
            start, asked, same = 0, self.headers.get("Range"), self.headers.get("If-Range")
            if asked and site.ranges and same in (None, site.tag(content)):
                start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Type", site.kind)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("X-Repo-Commit", "0" * 40)
            if site.tags:
                self.send_header("ETag", site.tag(content))
            self.end_headers()
            if body:
                rest = content[start:]
                self.wfile.write(rest[: site.break_after.pop(0)] if site.break_after else rest)
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *arguments: None  # a client that hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
