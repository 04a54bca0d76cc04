"""/metrics through Prometheus' own parser, under the names that vLLM's boards ask for."""
import sys
import unittest

sys.dont_write_bytecode = True
import scraped  # noqa: E402
import serving  # noqa: E402

import forerun  # noqa: E402
import reciting_model  # noqa: E402

HISTOGRAMS = ("time_to_first_token_seconds", "inter_token_latency_seconds",
              "e2e_request_latency_seconds", "request_queue_time_seconds",
              "request_prefill_time_seconds", "request_decode_time_seconds")
GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
COUNTERS = ("prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "generation_tokens",
            "request_success", "num_preemptions")
PIECES = 3  # of an answer, the end among them


class Metrics(serving.TestCase):
    @classmethod
    def model_file(cls):
        return reciting_model.model({"H": ["Hello", ", world"]})

    def traffic(self, **options):
        return self.client.chat.completions.create(
            model="served", messages=[{"role": "user", "content": "Say H"}], **options)

    def family(self, name):
        return scraped.families(self.server)["vllm:" + name]

    def test_names_and_kinds(self):
        self.traffic()
        self.assertRegex(scraped.text(self.server)[0], r"^text/plain; ?version=0\.0\.4")
        families = scraped.families(self.server)
        for names, kind in ((HISTOGRAMS, "histogram"), (GAUGES, "gauge"), (COUNTERS, "counter")):
            for name in names:
                family = families["vllm:" + name]
                self.assertEqual(family.type, kind, name)
                self.assertTrue(family.documentation, name)
                self.assertTrue(family.samples, name)
                for sample in family.samples:
                    self.assertEqual(sample.labels.get("model_name"), "served", sample)

    def test_no_series_twice(self):
        self.traffic()
        seen = set()
        for family in scraped.families(self.server).values():
            for sample in family.samples:
                series = sample.name, tuple(sorted(sample.labels.items()))
                self.assertNotIn(series, seen)
                seen.add(series)

    def check_histogram(self, name, samples):
        buckets = [(float(sample.labels["le"]), sample.value) for sample in samples
                   if sample.name.endswith("_bucket")]
        self.assertEqual(buckets, sorted(buckets), f"{name}: a bucket holds those before it")
        self.assertEqual(len({bound for bound, _ in buckets}), len(buckets))
        count = next(s.value for s in samples if s.name.endswith("_count"))
        total = next(s.value for s in samples if s.name.endswith("_sum"))
        self.assertEqual(buckets[-1], (float("inf"), count), name)
        self.assertGreaterEqual(total, 0)

    def test_buckets_rise(self):
        self.traffic(n=2)
        for family in scraped.families(self.server).values():
            if family.type != "histogram":
                continue
            by_labels = {}
            for sample in family.samples:
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
                by_labels.setdefault(labels, []).append(sample)
            for samples in by_labels.values():
                self.check_histogram(family.name, samples)

    def test_counters_only_rise(self):
        self.traffic()
        before = self.counters()
        self.traffic()
        after = self.counters()
        self.assertLessEqual(set(before), set(after))
        for series, value in before.items():
            self.assertGreaterEqual(after[series], value, series)
        self.assertNotEqual(before, after)

    def counters(self):
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in scraped.families(self.server).values()
                if family.type in ("counter", "histogram")
                for sample in family.samples if not sample.name.endswith("_created")}

    def test_figures_are_those_of_the_traffic(self):
        before = scraped.samples(self.server)
        prompt = 0
        for options in ({}, {"n": 2}):
            prompt += self.traffic(**options).usage.prompt_tokens
        with self.traffic(stream=True, stream_options={"include_usage": True}) as stream:
            prompt += list(stream)[-1].usage.prompt_tokens
        after = scraped.samples(self.server)

        def rise(name):
            return after["vllm:" + name] - before.get("vllm:" + name, 0)

        self.assertEqual(rise("prompt_tokens_total"), prompt)
        self.assertEqual(rise("generation_tokens_total"), 4 * PIECES)
        self.assertEqual(rise("time_to_first_token_seconds_count"), 3)
        self.assertEqual(rise("e2e_request_latency_seconds_count"), 3)
        self.assertEqual(rise("request_success_total"), 3)
        self.assertEqual(rise("num_preemptions_total"), 0)
        for name in GAUGES:
            self.assertEqual(after["vllm:" + name], 0, name)

    def test_reasons_for_ending(self):
        def ended(reason):
            return sum(sample.value for sample in self.family("request_success").samples
                       if sample.labels["finished_reason"] == reason
                       and not sample.name.endswith("_created"))

        stopped, cut = ended("stop"), ended("length")
        self.traffic()
        self.traffic(max_tokens=1)
        self.assertEqual((ended("stop"), ended("length")), (stopped + 1, cut + 1))

    def test_another_prefix(self):
        server = serving.Server(forerun.COMMAND, self.folder / "model.gguf", "--metrics-prefix", "forerun")
        try:
            names = [name for name in scraped.families(server) if ":" in name]
        finally:
            server.stop()
        self.assertIn("forerun:num_requests_running", names)
        self.assertFalse([name for name in names if name.startswith("vllm")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
