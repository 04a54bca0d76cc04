"""What Prometheus' own parser reads at /metrics."""
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def text(server):
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(server):
    """{name: family}, where a counter's name has no _total."""
    return {family.name: family for family in text_string_to_metric_families(text(server)[1])}


def samples(server):
    """{name: its value, summed over labels}"""
    found = {}
    for family in families(server).values():
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
