"""The pages in a real browser: Debian's Chromium through Playwright, on real processes; skipped where one is absent."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Serve, Site, place, site_on

__all__ = ["place"]

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
CHROMIUM = os.environ.get("MOORING_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

APP = """\
import json, os, urllib.request
from mooring import App, Context

app = App("shop")

@app.tool(touches="write", repeat="keyed")
def refund(ctx: Context, order: str) -> str:
    \"\"\"Refund an order.\"\"\"
    return f"{order} is refunded <b>at once</b>"

agent = app.agent("support", model="sim/agent-5ms", tools=[refund], instructions="You help.")
"""
HANDBOOK = "# Refunds\n\nA customer may return an unused item within 30 days of delivery.\n"
# WCAG 2: every text that is seen against the first solid background behind it.
CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element);
    if (!own || !element.checkVisibility() || style.position === "absolute") continue;
    let behind = element;
    while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    const back = behind ? parse(getComputedStyle(behind).backgroundColor) : [255, 255, 255];
    const [a, b] = [light(parse(style.color)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) found.push(`${ratio.toFixed(2)} ${element.className}: ${element.textContent.slice(0, 30)}`);
  }
  return found;
}"""


@pytest.fixture
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def sign_in(context: Any, site: Site) -> Any:
    """A page that stands at Home, and that collects what the console complains of."""
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(site.cli("keys", "login").strip())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/ui/home")
    return page


def filled(site: Site, place: Path) -> Serve:
    """A house with a document, an unreadable one, and a worker."""
    papers = place / "papers"
    papers.mkdir()
    (papers / "refunds.md").write_text(HANDBOOK)
    (papers / "scan.txt").write_bytes(b"\xff\xfe\xfd")
    serve = site.serve()
    site.worker()
    site.cli("documents", "add", str(papers))
    return serve


def test_a_run_is_followed_until_it_ends_without_a_reload(place: Path, chromium: Any) -> None:
    with site_on(place, None, app=APP) as site:
        serve = filled(site, place)
        page = sign_in(chromium.new_context(), site)
        site.plant(kind="stall_mid_stream", model="agent-5ms", release="go")
        run = serve.start_run("support", "My order 4711 came broken, please refund it.")
        page.goto(f"{serve.url}/ui/runs/{run}")
        page.evaluate("window.isTheSamePage = true")
        page.wait_for_selector("h1 .live")
        site.release("go")
        page.wait_for_selector("h1 .state.completed")
        assert page.evaluate("window.isTheSamePage")
        assert page.locator(".turn.tool .text").inner_text() == "4711 is refunded <b>at once</b>"
        assert page.locator(".fall tr.call").count() == 3
        assert page.complaints == []


def test_a_question_is_answered_and_its_citation_opens_the_marked_words(place: Path, chromium: Any) -> None:
    with site_on(place, None) as site:
        serve = filled(site, place)
        page = sign_in(chromium.new_context(), site)
        page.goto(f"{serve.url}/ui/ask")
        page.fill("#question", "Until when can a customer return an unused item?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer.answered")
        assert re.search(r"/ui/ask/[0-9a-f]{32}$", page.url)
        assert "within 30 days" in page.locator(".said").inner_text()
        page.locator(".said .cite").first.click()
        page.wait_for_url("**/ui/documents/doc_*")
        mark = page.locator("mark#mark")
        assert mark.inner_text() == "A customer may return an unused item within 30 days of delivery."
        assert mark.evaluate("mark => mark.getBoundingClientRect().bottom < innerHeight")
        assert page.complaints == []


def test_an_answer_is_told_as_it_is_said_and_without_a_citation_is_called_unproven(place: Path, chromium: Any) -> None:
    with site_on(place, None, more='[rag]\nmodel = "sim/writer-30words"') as site:
        serve = filled(site, place)
        page = sign_in(chromium.new_context(), site)
        site.plant(kind="stall_mid_stream", model="writer-30words", release="go")
        page.goto(f"{serve.url}/ui/ask")
        page.fill("#question", "Until when can a customer return an unused item?")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.wait_for_selector(".running .said:not(:empty)")
        assert page.url == f"{serve.url}/ui/ask"
        site.release("go")
        page.wait_for_selector(".answer.unproven")
        assert "Not proven" in page.locator(".answer").inner_text()
        page.go_back()
        page.wait_for_selector(".answer", state="detached")
        assert page.complaints == []


def test_a_model_that_breaks_off_is_told_and_not_passed_off_as_an_answer(place: Path, chromium: Any) -> None:
    with site_on(place, None, more='[rag]\nmodel = "sim/writer-30words"') as site:
        serve = filled(site, place)
        page = sign_in(chromium.new_context(), site)
        site.plant(kind="close_mid_stream", model="writer-30words")
        page.goto(f"{serve.url}/ui/ask")
        page.fill("#question", "Until when can a customer return an unused item?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer .alert.bad")
        page.get_by_role("link", name="What is known of it").click()
        page.wait_for_selector(".answer.failed")


def test_without_javascript_a_question_is_answered_all_the_same(place: Path, chromium: Any) -> None:
    with site_on(place, None) as site:
        serve = filled(site, place)
        page = sign_in(chromium.new_context(java_script_enabled=False), site)
        page.goto(f"{serve.url}/ui/ask")
        page.fill("#question", "Until when can a customer return an unused item?")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.wait_for_url("**/ui/ask/*")
        assert "within 30 days" in page.locator(".answered .said").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_walked_by_keyboard_and_fits_a_phone(place: Path, chromium: Any, scheme: str) -> None:
    with site_on(place, None, app=APP) as site:
        serve = filled(site, place)
        run = serve.start_run("support", "My order 4711 came broken, please refund it.")
        serve.run_in(run, "completed")
        context = chromium.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900})
        page = sign_in(context, site)
        for path in ("/ui/home", "/ui/ask", "/ui/runs", f"/ui/runs/{run}", "/ui/documents"):
            for width in (1440, 390):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(serve.url + path)
                assert page.evaluate(CONTRAST) == [], (path, width)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/documents/doc_*")
        page.keyboard.press("g")
        page.keyboard.press("r")
        page.wait_for_url("**/ui/runs")
        assert page.complaints == []
