"""A model hub on this machine, for tests of `forerun pull`: the part of the hub's HTTP API that the
command uses, and faults on demand."""
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """files: {path: content}; large: the paths that are listed with a SHA-256. `faults` are functions
    of (handler, path); one that returns true has answered, and is used up when it returns "once"."""
    daemon_threads = True

    def __init__(self, files=None, large=(), repository="org/m"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(files or {})
        self.large = set(large)
        self.repository = repository
        self.etag = '"v1"'
        self.ranges = True
        self.faults = []
        self.requests = []  # (path, headers)
        self.page_size = 1000
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the command breaks connections off

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()

    def listing(self):
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "1_Pooling"}]
        for path, content in self.files.items():
            entry = {"type": "file", "oid": git_blob_id(content), "size": len(content), "path": path}
            if path in self.large:
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content),
                                "pointerSize": 134}
            entries.append(entry)
        return entries

    def file_requests(self):
        return [(path, headers) for path, headers in self.requests if "/resolve/" in path]

    def headers_of(self, name):
        """Of each request for a file."""
        return [headers for path, headers in self.file_requests() if path.endswith("/" + name)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        hub = self.server
        hub.requests.append((self.path, dict(self.headers)))
        for fault in list(hub.faults):
            answered = fault(self, self.path)
            if answered:
                if answered == "once":
                    hub.faults.remove(fault)
                return
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        if path.startswith(f"/api/models/{hub.repository}/revision/"):
            return self.reply(json.dumps({"id": hub.repository, "sha": COMMIT}))
        if path == f"/api/models/{hub.repository}/tree/{COMMIT}":
            return self.list_files(url)
        prefix = f"/{hub.repository}/resolve/{COMMIT}/"
        if path.startswith(prefix) and path.removeprefix(prefix) in hub.files:
            return self.send_file(hub.files[path.removeprefix(prefix)])
        return self.reply('{"error": "not found"}', 404)

    def list_files(self, url):
        hub = self.server
        begin = int(urllib.parse.parse_qs(url.query).get("cursor", ["0"])[0])
        entries = hub.listing()
        end = begin + hub.page_size
        more = {}
        if end < len(entries):
            more["Link"] = f'<{hub.url}{url.path}?recursive=true&cursor={end}>; rel="next"'
        return self.reply(json.dumps(entries[begin:end]), **more)

    def reply(self, text, status=200, **headers):
        content = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return True

    def send_file(self, content, etag=None, stop_after=None):
        """stop_after: bytes of the body after which the connection is broken off."""
        hub = self.server
        etag = etag or hub.etag
        begin = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if hub.ranges and wanted and self.headers.get("If-Range", etag) == etag:
            begin = int(wanted.group(1))
        if begin >= len(content) > 0:
            return self.reply("", 416)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        self.wfile.write(content[begin:][:stop_after])
        if stop_after is not None:
            self.break_off()
        return True

    def break_off(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)
