"""What a page must look like: its widths and themes, and the contrast of every text, as WCAG 2 computes it."""

from itertools import product
from typing import Any

import pytest
from playwright.sync_api import Page

LEAST = 4.5

_FIRST = [(1440, "light"), (360, "dark")]
_OTHERS = [look for look in product((1440, 800, 360), ("light", "dark")) if look not in _FIRST]
LOOKS = pytest.mark.parametrize(
    ("width", "theme"), [*_FIRST, *(pytest.param(*look, marks=pytest.mark.slow) for look in _OTHERS)]
)

_MEASURE = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour).slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour.startsWith("rgb") && (numbers(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const isOut = element.closest(":disabled, script, style, noscript, option");
    if (!hasText || isOut || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    found.push({ text: element.textContent.trim().slice(0, 40), kind: element.className || element.tagName,
      ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) });
  }
  return found;
}"""


def too_pale(page: Page) -> list[dict[str, Any]]:
    """The texts with too little contrast. A page with hardly any text was not looked at properly."""
    found = page.evaluate(_MEASURE)
    assert len(found) > 10
    return [one for one in found if one["ratio"] < LEAST]
