"""All services of the page, as its routes use them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.page.drawings import Drawings
from edge_inspect.edge.page.event_stream import EventStream
from edge_inspect.edge.page.line_view import LineView
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.people import People
from edge_inspect.edge.page.review import Review
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.teaching import Teaching


@dataclass
class Page:
    """All services of the page. Routes find it as `request.app.state.page`."""

    settings: PageSettings
    line: LineView
    events: EventStream
    commands: CommandSender
    bundles: BundleFolder
    drawings: Drawings
    people: People
    audit: AuditLog
    labels: LabelStore
    parts: PartStore
    review: Review
    teaching: Teaching


def page_of(request: Request) -> Page:
    """Return the services of the page that a request came to."""
    page: Page = request.app.state.page
    return page
