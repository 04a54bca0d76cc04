"""A server that looks to the status page like ours: its files, statistics that a test makes up, and
answers streamed token by token. A thread of its own; standard library only."""
import http.server
import json
import math
import pathlib
import threading
import time

PAGE = pathlib.Path(__file__).resolve().parents[2] / "src/server/status_page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = ("default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def some_statistics():
    """Five minutes of traffic in the shape of GET /forerun/statistics."""
    seconds = range(299, -1, -1)
    generation = [round(max(0.0, 300 + 60 * math.sin(s / 17) + 25 * math.sin(s / 3)
                            - (280 if 150 < s < 180 else 0)), 1) for s in seconds]
    prompt = [round(1400.0 * (s % 23 in (0, 1)) + 40 * (s % 5), 1) for s in seconds]
    return {
        "model": "smollm2-135m", "isa": "avx512_vnni", "fingerprint": "fp_3f9a02c1d7",
        "context_length": 8192, "version": "0.1.0", "state": "ready", "state_seconds": 700.0,
        "uptime_seconds": 11520.0,
        "now": {"running": 8, "waiting": 3, "kv_use": 0.384, "prompt_tokens_per_second": 156.2,
                "generation_tokens_per_second": 331.4, "requests_per_second": 2.4,
                "prefix_hit_rate": 0.712},
        "latency": {"window_seconds": 60.0,
                    "first_token": {"p50": 0.0874, "p90": 0.2113, "p99": 1.482, "count": 148},
                    "inter_token": {"p50": 0.00731, "p90": 0.0124, "p99": 0.0381, "count": 19311}},
        "totals": {"requests": 4120, "prompt_tokens": 812345, "generation_tokens": 1234567,
                   "prefix_queries": 812345, "prefix_hits": 560000, "preemptions": 2},
        "learning": some_learning(),
        "history": {"seconds_ago": [float(s) for s in seconds],
                    "prompt_tokens_per_second": prompt, "generation_tokens_per_second": generation,
                    "running": [8] * 300, "waiting": [3] * 300, "kv_use": [0.384] * 300},
    }


def some_drafts():
    """In the shape of GET /forerun/speculation."""
    return {"steps": 8000, "generated_tokens": 12400, "drafts": 2000, "draft_tokens": 7000,
            "accepted_tokens": 4400, "acceptance_length": 3.2,
            "accepted_by_place": [0.82, 0.61, 0.4, 0.21, 0.1, 0.06],
            "by_source": {"history": {"draft_tokens": 5000, "accepted_tokens": 2600},
                          "prediction": {"draft_tokens": 2000, "accepted_tokens": 1800}},
            "measured": [{"sequences": 1, "speed_up": 1.412, "drafts": True, "compared": 41},
                         {"sequences": 8, "speed_up": 0.981, "drafts": False, "compared": 90}],
            "drafting_share": 0.001, "mispredicted_share": 0.06}


def some_learning():
    """In the shape of GET /forerun/learning."""
    return {"enabled": True, "starved": "nobody", "trainer_up": True, "trainer_starts": 1,
            "trainer_step": 1250, "trainer_step_seconds": 0.412, "trainer_loss": 2.137,
            "trainer_acceptance_length": 1.69, "trained_tokens": 812000,
            "records": {"kept": 5321, "dropped": 0, "opted_out": 12, "left_out": 0, "held_out": 660},
            "capture_rate": 1.0, "capture_share": 0.004, "head_version": 3, "vocabulary": 1, "acceptance_length": 1.74,
            "estimated_speedup": 1.31, "share": {"threads": 1, "learned": 0.11, "lost": -0.04},
            "verdicts": {"passed": 2, "failed": 1, "refused": 0},
            "swaps": {"made": 3, "kept": 1, "rolled_back": 0, "recalled": 0}, "swap_seconds": 0.0007,
            "alarms": 1}


def some_events():
    """In the shape of GET /forerun/events?format=json: of the last two hours."""
    def verdict(ago, step, mean, bound, lengths, reason):
        return {"kind": "verdict", "time": time.time() - ago, "step": step, "mean": mean, "bound": bound,
                "alpha": 0.025, "conversations": 96, "passed": bound > 0.005, "reason": reason,
                "acceptance_length": lengths[1], "incumbent_acceptance_length": lengths[0]}

    def activated(ago, version, why):
        return {"kind": "activated", "time": time.time() - ago, "version": version,
                "previous": version - 1, "why": why, "microseconds": 700}
    return [{"kind": "trainer", "time": time.time() - 7290, "state": "started"},
            verdict(7210, 200, 0.0953, 0.0488, (1.0, 1.42), "it is faster"), activated(7205, 1, "gate"),
            verdict(5400, 500, -0.0202, -0.0305, (1.41, 1.4), "it is not faster for sure"),
            verdict(3600, 800, 0.0411, 0.0119, (1.42, 1.6), "it is faster"), activated(3595, 2, "gate"),
            {"kind": "drift", "time": time.time() - 1800, "of": "traffic", "before": 0.45, "after": 0.3,
             "conversations": 80},
            activated(600, 3, "user")]


def no_drafts():
    return {**some_drafts(), "drafts": 0, "draft_tokens": 0, "accepted_tokens": 0}


def no_statistics():
    """Of a server that has just begun."""
    statistics = some_statistics()
    nothing = {"p50": None, "p90": None, "p99": None, "count": 0}
    statistics["latency"].update(first_token=nothing, inter_token=nothing)
    statistics["now"] = {"running": 0, "waiting": 0, "kv_use": 0.0, "prompt_tokens_per_second": 0.0,
                         "generation_tokens_per_second": 0.0, "requests_per_second": 0.0,
                         "prefix_hit_rate": None}
    statistics["history"] = {name: [] for name in statistics["history"]}
    statistics["uptime_seconds"] = 2.0
    return statistics


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, message):
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def is_let_in(self):
        key = self.server.fake.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.error(401, "There is no such key.")
        return False

    def do_GET(self):
        if self.path == "/forerun/statistics":
            if self.is_let_in():
                self.reply(200, self.server.fake.statistics)
            return
        if self.path.startswith("/forerun/events?"):
            if self.is_let_in():
                self.server.fake.queries.append(self.path)
                self.reply(200, self.server.fake.events)
            return
        if self.path == "/forerun/speculation":
            if self.is_let_in():
                self.reply(200, self.server.fake.drafts)
            return
        file = PAGE / ("index.html" if self.path == "/" else self.path.lstrip("/"))
        if file.parent != PAGE or not file.is_file():
            self.error(404, "There is nothing here.")
            return
        self.reply(200, file.read_bytes(), TYPES[file.suffix],
                   [("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff")])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.is_let_in():
            return
        fake = self.server.fake
        fake.requests.append(body)
        if fake.refusal:
            self.error(*fake.refusal)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.stream(fake)
        except (BrokenPipeError, ConnectionResetError):
            fake.abandoned.set()
        self.close_connection = True

    def send_event(self, value):
        data = value if isinstance(value, str) else json.dumps(value)
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def stream(self, fake):
        for field, text in fake.deltas:
            self.send_event({"choices": [{"index": 0, "delta": {field: text},
                                          "finish_reason": None}]})
            time.sleep(fake.delay)
        if not fake.hold.wait(20):
            return
        if fake.break_off:
            return
        self.send_event({"choices": [{"index": 0, "delta": {},
                                      "finish_reason": fake.finish_reason}]})
        self.send_event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 128}})
        self.send_event("[DONE]")


class FakeServer:
    def __init__(self):
        self.key = ""
        self.statistics = some_statistics()
        self.drafts = some_drafts()
        self.events = some_events()
        self.queries = []        # for events
        self.deltas = [("content", "Hello"), ("content", " there.")]
        self.delay = 0.01
        self.finish_reason = "stop"
        self.break_off = False   # end the stream without [DONE]
        self.refusal = None      # (status, message)
        self.requests = []
        self.abandoned = threading.Event()
        self.hold = threading.Event()  # the answer ends once this is set
        self.hold.set()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.fake = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
