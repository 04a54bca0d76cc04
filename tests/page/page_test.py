#!/usr/bin/env python3
"""The status page in a headless Chromium, against a server made up for it.

  tests/page/page_test.py [--shots FOLDER] [unittest arguments]

Run by tests/page/in_chromium, which installs Playwright and names Chromium. --shots keeps pictures of the
page to look at.
"""
import os
import pathlib
import re
import sys
import unittest

from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fake_server import FakeServer, no_drafts, no_statistics  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SHOTS = None
LONG_ANSWER = [("reasoning_content", "The sky scatters light. "),
               ("reasoning_content", "Short waves scatter more than long ones."),
               ("content", "Sunlight meets air, and air scatters short waves far more than long ones.\n\n"),
               ("content", "That is Rayleigh scattering; its strength goes with the fourth power of the "
                           "frequency:\n\n```python\ndef strength(wavelength):\n    return wavelength ** -4"
                           "\n```\n\nSo blue reaches the eye from everywhere")]

# WCAG's contrast of every text with what lies behind it; the worst of each element that has text.
CONTRAST = """() => {
  const rgb = (css) => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgb(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest('.hidden')) continue;
    const style = getComputedStyle(element);
    const text = luminance(rgb(element instanceof SVGElement ? style.fill : style.color));
    const behind = luminance(ground(element));
    const ratio = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
    found.push([ratio, element.tagName + ' ' + element.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.playwright = sync_playwright().start()
        cls.browser = cls.playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.playwright.stop()

    def setUp(self):
        self.server = FakeServer()
        self.addCleanup(self.server.stop)
        self.addCleanup(self.server.hold.set)
        self.faults = []

    def open(self, width=1360, height=860, scheme="light", **options):
        context = self.browser.new_context(viewport={"width": width, "height": height},
                                           color_scheme=scheme, **options)
        self.addCleanup(context.close)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.faults.append(f"outside: {request.url}")
                if not request.url.startswith(self.server.url) else None)
        page.on("console", lambda message: self.faults.append(message.text)
                if "Content Security Policy" in message.text else None)
        page.goto(self.server.url)
        return page

    def tearDown(self):
        self.assertEqual(self.faults, [])

    def shot(self, page, name):
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}.png")

    def ask(self, page, text="Why is the sky blue?"):
        page.get_by_label("Message", exact=True).fill(text)
        page.keyboard.press("Enter")

    def test_shows_what_the_server_says(self):
        page = self.open()
        expect(page.locator("#model")).to_have_text("smollm2-135m")
        expect(page.locator("#state-text")).to_have_text("ready")
        expect(page.locator("#context")).to_have_text("8,192 tokens")
        expect(page.locator("#isa")).to_have_text("avx512_vnni")
        expect(page.locator("#fingerprint")).to_have_text("fp_3f9a02c1d7")
        expect(page.locator("#uptime")).to_have_text("3 h 12 min")
        expect(page.locator("#running")).to_have_text("8")
        expect(page.locator("#waiting")).to_have_text("3")
        expect(page.locator("#kv-use")).to_have_text("38.4 %")
        expect(page.locator("#prefix-hits")).to_have_text("71.2 %")
        expect(page.locator("#requests")).to_have_text("2.4 /s")
        expect(page.locator("#first-token td")).to_have_text(["87.4 ms", "211 ms", "1.48 s", "148"])
        expect(page.locator("#inter-token td")).to_have_text(
            ["7.31 ms", "12.4 ms", "38.1 ms", "19,311"])
        expect(page.locator("#generation-chart .value")).to_have_text("331.4")
        expect(page.locator("#prompt-chart .value")).to_have_text("156.2")
        self.assertEqual(page.title(), "smollm2-135m · forerun")
        path = page.locator("#generation-chart .line").get_attribute("d")
        self.assertEqual(path.count(","), 300)
        expect(page.locator("#generation-chart svg")).to_have_attribute(
            "aria-label", re.compile("^Generated: 331.4 tokens a second now; at most"))
        self.shot(page, "light")

    def test_drafts(self):
        page = self.open()
        expect(page.locator("#draft-length")).to_have_text("3.20")
        expect(page.locator("#draft-step")).to_have_text("1.55")
        expect(page.locator("#draft-right")).to_have_text("62.9 %")
        expect(page.locator("#draft-sources tr")).to_have_text(
            ["history5,00052.0 %", "prediction2,00090.0 %"])
        expect(page.locator("#draft-sizes tr")).to_have_text(["11.41 ×yes", "8 to 150.98 ×no"])
        expect(page.locator("#draft-places li")).to_have_text(
            ["82 %", "61 %", "40 %", "21 %", "10 %", "6 %"])
        heights = [bar.bounding_box()["height"] for bar in page.locator("#draft-places span").all()]
        self.assertEqual(heights, sorted(heights, reverse=True))
        self.assertGreater(heights[0], 5 * heights[-1])
        self.shot(page, "drafts")
        self.server.drafts = no_drafts()
        expect(page.locator("#drafts")).to_be_hidden()

    def test_learning(self):
        page = self.open()
        panel = page.get_by_role("region", name="Learning")
        expect(panel.locator("#learning-state")).to_have_text("the trainer runs")
        expect(panel.locator("#head-version")).to_have_text("3")
        expect(panel.locator("#head-speedup")).to_have_text("1.31 ×")
        expect(panel.locator("#starved")).to_have_text("nobody")
        expect(panel.locator("#learning-threads")).to_have_text("1")
        expect(panel.locator("#records-kept")).to_have_text("5,321")
        expect(panel.locator("#trainer-step")).to_have_text("1,250")
        expect(panel.locator("#trainer-loss")).to_have_text("2.14")
        expect(panel.locator("#trainer-seconds")).to_have_text("412 ms")
        expect(page.locator("#acceptance-chart .value")).to_have_text("1.74")
        expect(page.locator("#acceptance-chart svg")).to_have_attribute(
            "aria-label", "Replayed: 1.74 tokens a round now; at most 1.74 in the last 2 h 0 min. "
            "Moments marked: 4.")
        # Incumbents at three verdicts, two swaps by the gate, and now.
        self.assertEqual(page.locator("#acceptance-chart .line").get_attribute("d").count(","), 6)
        titles = ["head 1 drafts", "head 2 drafts", "the traffic has moved", "head 3 drafts, as asked"]
        self.assertEqual(page.locator("#acceptance-chart .moment title").all_text_contents(), titles)
        expect(page.locator("#acceptance-chart .moment.alarm")).to_have_count(1)
        expect(panel.get_by_label("Swaps and alarms").locator("li")).to_have_text(
            ["10 min ago: head 3 drafts, as asked", "30 min ago: the traffic has moved",
             "59 min ago: head 2 drafts", "2 h 0 min ago: head 1 drafts"])
        expect(page.locator("#verdicts tbody tr")).to_have_text(
            ["1 h 0 min ago80096+4.2 %+1.2 %passed",
             "1 h 30 min ago50096−2.0 %−3.0 %it is not faster for sure",
             "2 h 0 min ago20096+10.0 %+5.0 %passed"])
        self.assertEqual(self.server.queries, ["/forerun/events?format=json&last=1000"])
        panel.scroll_into_view_if_needed()
        box = page.locator("#acceptance-chart svg").bounding_box()
        line = page.locator("#acceptance-chart .moment").nth(1)
        page.mouse.move(box["x"] + float(line.get_attribute("x1")), box["y"] + 50)
        expect(page.locator("#acceptance-chart .value")).to_have_text("59 min ago, head 2 drafts: 1.60")
        self.shot(page, "learning")

    def test_learning_that_has_just_begun_or_is_not_there(self):
        learning = self.server.statistics["learning"]
        learning.update(head_version=0, trainer_up=False, acceptance_length=1.0, starved="traffic")
        self.server.events = []
        page = self.open(scheme="dark")
        expect(page.locator("#head-version")).to_have_text("none")
        expect(page.locator("#learning-state")).to_have_text("no trainer runs")
        expect(page.locator("#acceptance-chart .value")).to_have_text("1.00")
        expect(page.locator("#verdicts")).to_be_hidden()
        learning["enabled"] = False
        expect(page.locator("#learning-state")).to_have_text("stopped")
        self.server.statistics["learning"] = None
        expect(page.locator("#learning")).to_be_hidden()

    def test_follows_the_server(self):
        page = self.open()
        expect(page.locator("#running")).to_have_text("8")
        self.server.statistics["now"]["running"] = 5
        self.server.statistics["state"] = "draining"
        expect(page.locator("#running")).to_have_text("5")
        expect(page.locator("#state-text")).to_have_text("draining")
        expect(page.locator("#banner")).to_contain_text("takes nothing new")
        self.server.statistics["state"] = "ready"
        expect(page.locator("#banner")).to_be_hidden()

    def test_a_server_that_has_just_begun(self):
        self.server.statistics = no_statistics()
        page = self.open(scheme="dark")
        expect(page.locator("#uptime")).to_have_text("2 s")
        expect(page.locator("#first-token td")).to_have_text(["–", "–", "–", "0"])
        expect(page.locator("#prefix-hits")).to_have_text("–")
        self.shot(page, "new")

    def test_the_chart_reads_where_the_pointer_is(self):
        page = self.open()
        expect(page.locator("#running")).to_have_text("8")
        box = page.locator("#generation-chart svg").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
        expect(page.locator("#generation-chart .value")).to_contain_text("s ago: ")
        self.shot(page, "pointer")
        page.mouse.move(2, 2)
        expect(page.locator("#generation-chart .value")).to_have_text("331.4")

    def test_streams_an_answer(self):
        self.server.hold.clear()
        self.server.deltas = LONG_ANSWER
        page = self.open()
        page.get_by_text("Settings").click()
        page.get_by_label("System prompt").fill("Be short.")
        page.get_by_label("Temperature").fill("0.5")
        page.get_by_text("Settings").click()
        self.ask(page)
        expect(page.locator(".message.assistant .body")).to_contain_text("from everywhere")
        expect(page.locator(".message.assistant .code")).to_have_text(
            "def strength(wavelength):\n    return wavelength ** -4")
        expect(page.locator(".reasoning .text")).to_contain_text("Short waves scatter more")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.locator("#log")).to_have_attribute("aria-busy", "true")
        self.shot(page, "streaming")
        self.server.hold.set()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.locator(".message.assistant .note")).to_have_text(
            re.compile(r"^128 tokens, [\d.]+ tok/s, first token \d+ ms$"))
        request = self.server.requests[0]
        self.assertEqual(request["messages"], [{"role": "system", "content": "Be short."},
                                               {"role": "user", "content": "Why is the sky blue?"}])
        self.assertEqual(request["temperature"], 0.5)
        self.assertEqual(request["model"], "smollm2-135m")
        self.assertTrue(request["stream"])
        # Each is remembered; a new chat forgets them. The model's own settings are not overridden.
        page.get_by_text("Settings").click()
        page.get_by_label("Temperature").fill("")
        self.ask(page, "And at night?")
        expect(page.locator(".message.assistant .note")).to_have_count(2)
        self.assertEqual([message["role"] for message in self.server.requests[1]["messages"]],
                         ["system", "user", "assistant", "user"])
        self.assertNotIn("temperature", self.server.requests[1])
        page.get_by_role("button", name="New chat").click()
        expect(page.locator(".message")).to_have_count(0)
        self.ask(page, "Anew")
        expect(page.locator(".message.assistant .note")).to_have_count(1)
        self.assertEqual(len(self.server.requests[2]["messages"]), 2)

    def test_stop_lets_the_server_go(self):
        self.server.deltas = [("content", "word ")] * 3000
        page = self.open()
        self.ask(page)
        expect(page.locator(".message.assistant .body")).to_contain_text("word word")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".message.assistant .note")).to_have_text("Stopped.")
        self.assertTrue(self.server.abandoned.wait(5))
        self.server.deltas = [("content", "Again.")]
        self.ask(page, "Once more")
        expect(page.locator(".message.assistant .body").last).to_have_text("Again.")
        self.assertEqual(len(self.server.requests[1]["messages"]), 3)

    def test_escape_stops_too(self):
        self.server.hold.clear()
        page = self.open()
        self.ask(page)
        expect(page.locator(".message.assistant .body")).to_contain_text("there")
        page.keyboard.press("Escape")
        expect(page.locator(".message.assistant .note")).to_have_text("Stopped.")

    def test_what_a_model_says_is_never_html(self):
        evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
        self.server.deltas = [("reasoning_content", evil), ("content", evil + "\n```\n" + evil)]
        self.server.statistics["model"] = evil
        page = self.open()
        self.ask(page, evil)
        expect(page.locator(".message.assistant .note")).to_have_count(1)
        self.assertEqual(page.locator("main img, main script").count(), 0)
        expect(page.locator(".message.user .body")).to_have_text(evil)
        self.assertNotEqual(page.title(), "owned")

    def test_errors_are_sentences(self):
        page = self.open()
        expect(page.locator("#running")).to_have_text("8")
        self.server.refusal = (429, "There are 256 requests waiting already. Come back in a second.")
        self.ask(page)
        expect(page.locator(".note.problem")).to_have_text(self.server.refusal[1])
        self.server.refusal = None
        self.server.break_off = True
        self.ask(page, "Again?")
        expect(page.locator(".note.problem").last).to_have_text(
            "The connection broke before the answer ended.")
        # A question that got no answer is not part of the conversation.
        self.assertEqual(len(self.server.requests[1]["messages"]), 1)

        page.context.set_offline(True)
        expect(page.locator("#banner")).to_have_text("The server cannot be reached. Trying again.")
        expect(page.locator("#state-text")).to_have_text("no answer")
        self.shot(page, "errors")
        page.context.set_offline(False)
        expect(page.locator("#banner")).to_be_hidden()

    def test_asks_for_the_key_and_keeps_it_in_the_tab(self):
        self.server.key = "right"
        page = self.open()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_label("API key")).to_be_focused()
        self.shot(page, "key")
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-problem")).to_be_visible()
        page.get_by_label("API key").fill("right")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#running")).to_have_text("8")
        self.ask(page)
        expect(page.locator(".message.assistant .body")).to_have_text("Hello there.")
        self.assertEqual(page.evaluate("Object.values(sessionStorage)"), ["right"])
        self.assertNotIn("right", page.evaluate("JSON.stringify(localStorage) + document.cookie"))
        page.reload()
        expect(page.locator("#running")).to_have_text("8")
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        self.assertEqual(page.evaluate("sessionStorage.length"), 0)

    def test_the_theme_is_the_systems_until_one_is_chosen(self):
        page = self.open(scheme="dark")
        ground = "getComputedStyle(document.body).backgroundColor"
        self.assertEqual(page.evaluate(ground), "rgb(19, 21, 24)")
        page.get_by_role("button", name="Switch to light").click()
        self.assertEqual(page.evaluate(ground), "rgb(247, 246, 243)")
        page.reload()
        self.assertEqual(page.evaluate(ground), "rgb(247, 246, 243)")
        page.get_by_role("button", name="Switch to dark").click()
        expect(page.locator("#running")).to_have_text("8")
        self.shot(page, "dark")

    def test_texts_stand_out_from_their_ground(self):
        for scheme in ("light", "dark"):
            self.server.statistics["state"] = "stuck"
            page = self.open(scheme=scheme)
            self.server.deltas = LONG_ANSWER
            self.server.refusal = None
            self.ask(page)
            expect(page.locator(".message.assistant .note")).to_have_count(1)
            self.server.refusal = (400, "The temperature is above 2.")
            self.ask(page)
            expect(page.locator(".note.problem")).to_have_count(1)
            contrasts = page.evaluate(CONTRAST)
            self.assertGreater(len(contrasts), 30)
            self.assertEqual([text for ratio, text in contrasts if ratio < 4.5], [])

    def test_fits_a_phone(self):
        self.server.deltas = LONG_ANSWER
        page = self.open(width=360, height=780, scheme="light", has_touch=True, is_mobile=True)
        expect(page.locator("#running")).to_have_text("8")
        expect(page.locator("#verdicts tbody tr")).to_have_count(3)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 360)
        for panel in page.locator(".panel").all():  # nothing is cut off
            if panel.is_visible():
                self.assertLessEqual(panel.evaluate("(e) => e.scrollWidth - e.clientWidth"), 0)
        self.shot(page, "phone")
        self.ask(page)
        expect(page.locator(".message.assistant .note")).to_have_count(1)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 360)
        page.locator("#composer").scroll_into_view_if_needed()
        self.shot(page, "phone_chat")

    def test_the_keyboard_reaches_everything(self):
        page = self.open()
        expect(page.locator("#running")).to_have_text("8")
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"
                                         " || document.activeElement.tagName"))
        for wanted in ("skip", "theme", "new-chat", "SUMMARY", "log", "message", "send"):
            self.assertIn(wanted, reached)

    def test_every_control_has_a_name(self):
        page = self.open()
        unnamed = page.evaluate("""() => [...document.querySelectorAll('button, input, textarea')]
            .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
            .map((e) => e.id)""")
        self.assertEqual(unnamed, [])

    def test_rests_where_motion_is_unwanted(self):
        self.server.hold.clear()
        page = self.open(reduced_motion="reduce")
        self.ask(page)
        expect(page.locator(".under-way .body")).to_contain_text("there")
        self.assertEqual(page.evaluate("document.getAnimations().length"), 0)


if __name__ == "__main__":
    if "--shots" in sys.argv:
        index = sys.argv.index("--shots")
        SHOTS = sys.argv[index + 1]
        del sys.argv[index:index + 2]
    unittest.main()
