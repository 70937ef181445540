"""The colours of the stylesheet: each pair that the pages use holds WCAG AA, in light and in dark."""

import re

import pytest

from mooring.server.ui.render import static_files

SCHEMES = ("light", "dark")
GROUNDS = ("bg", "surface", "sunk")
# What stands on what. Text needs 4.5; the edge of a control, a mark and a bar need 3.
TEXT = [
    *((text, ground) for text in ("ink", "dim", "accent", "good", "warn", "bad") for ground in GROUNDS),
    *((state, f"{state}-soft") for state in ("good", "warn", "bad", "info", "accent")),
    *((text, "accent-soft") for text in ("ink", "dim", "good", "warn", "bad")),
    *((text, "warn-soft") for text in ("ink", "dim", "accent")),
    ("on-accent", "accent"),
    ("on-mark", "mark"),
    *(("other", ground) for ground in ("surface", "accent-soft")),
    ("info", "bg"),
    ("info", "surface"),
]
GRAPHICS = [
    *(("edge", ground) for ground in GROUNDS),
    *((bar, "sunk") for bar in ("busy", "tool", "retrieval", "other", "edge", "warn", "bad", "good")),
]


def tokens(scheme: str) -> dict[str, str]:
    sheet = static_files()["mooring.css"].decode()
    light, _, rest = sheet.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", rest[: rest.index("\n}\n")]))
    return found


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_pair_of_colours_holds_aa(scheme: str) -> None:
    found = tokens(scheme)
    weak = [
        f"{above} on {below}: {contrast(found[above], found[below]):.2f} < {least}"
        for pairs, least in ((TEXT, 4.5), (GRAPHICS, 3.0))
        for above, below in pairs
        if contrast(found[above], found[below]) < least
    ]
    assert weak == []


def test_a_known_pair_has_its_known_contrast() -> None:
    assert contrast("#000000", "#ffffff") == 21.0
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54


def test_colours_are_named_before_they_are_used() -> None:
    sheet = static_files()["mooring.css"].decode()
    outside = sheet[sheet.index("*, *::before") :]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s,)])", outside) == []
