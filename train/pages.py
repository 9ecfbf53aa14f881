"""The parts that the HTML pages share: their style, and the description of a model."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from html import escape
from importlib import resources
from string import Template

from edge_inspect.train.checkpoint import Checkpoint

HERE = __package__ or "edge_inspect.train"


def fill(
    body: str,
    *,
    title: str,
    facts: str,
    tiles: str,
    footer: str,
    head: str,
    package: str = HERE,
    lead: str = "",
    script: str = "",
    **parts: str,
) -> str:
    """Return a page: the frame `page.html` with the style `page.css`, and in it the template `body` with its parts.

    All parts are HTML, except `script`: JavaScript, which the page's policy allows by its digest, and no other script.
    `head` holds the title of the window, `lead` stands before everything else, `package` contains the template.
    """
    inside = Template(read_part(body, package)).substitute(parts)
    frame = Template(read_part("page.html"))
    named = {
        "lead": lead,
        "head": head,
        "title": title,
        "facts": facts,
        "tiles": tiles,
        "body": inside,
        "footer": footer,
    }
    policy, element = _allowed(script) if script else ("", "")
    return frame.substitute(style=read_part("page.css"), policy=policy, script=element, **named)


def _allowed(script: str) -> tuple[str, str]:
    """Return the clause of a page's policy that allows a script, and the script's element."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"; script-src 'sha256-{digest}'", f"<script>{script}</script>\n"


def read_part(name: str, package: str = HERE) -> str:
    """Return a part of a page from a package: a template, the style or a script."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def heading(category: str, about: Checkpoint) -> str:
    """Return the title of a page about a model."""
    return escape(f"{category}: {about.model} with teacher {about.teacher}")


def facts_of(about: Checkpoint) -> dict[str, object]:
    """Return facts about a model, by name."""
    return {
        "system": about.model,
        "teacher": f"{about.teacher} ({about.teacher_sha256[:12]})",
        "category": about.category,
        "steps": about.steps,
        "seed": about.seed,
        "input": f"{about.fit.canvas[0]}x{about.fit.canvas[1]}, {about.fit.mode}",
        "learned from": f"{len(about.trained_on)} good images, {len(about.held_out)} held out",
    }


def show_facts(named: Mapping[str, object]) -> str:
    """Return facts as a list of terms."""
    return "\n".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in named.items())


def show_tiles(shown: Iterable[tuple[str, str]]) -> str:
    """Return the most important figures: tiles, each with a value and its meaning."""
    return "\n".join(f"<div><b>{escape(value)}</b>{escape(label)}</div>" for value, label in shown)


def show_charts(titled: Mapping[str, str]) -> str:
    """Return charts, SVG, with their titles."""
    return "\n".join(
        f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>" for title, chart in titled.items()
    )


def now() -> str:
    """Return the time, to the minute."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
