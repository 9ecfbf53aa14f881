"""Teaching from the page: a job in a process of its own, its lines, its bundle, and what ends it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
import taught_parts
from page_client import Browser
from page_server import make_app, make_people, serving

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Verdict
from edge_inspect.edge.labels.label import Label
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page import teaching_routes
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.teaching import Job, Teaching, next_name

STATION = "plant/line/one"
HANG_S = 300


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one bundle that has a memory."""
    folder = tmp_path_factory.mktemp("bundles")
    taught_parts.write(folder / "disc-1")
    for draft in folder.glob("*-draft"):
        for path in sorted(draft.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        draft.rmdir()
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels") as store:
        yield store


def label(store: LabelStore, *seeds: int) -> None:
    for seed in seeds:
        verdict = Verdict(
            boot_id="b",
            sequence=seed,
            captured_at=utc_now(),
            decided_at=utc_now(),
            ok=False,
            score=9.0,
            threshold=1.0,
            bundle=BundleReference(name="disc-1", digest="d"),
            precision="fp32",
            engine="openvino",
            latency_ms=1.0,
            frame=FrameSize(width=taught_parts.WIDTH, height=taught_parts.HEIGHT),
        )
        site, line, station = STATION.split("/")
        _, data = cv2.imencode(".jpg", taught_parts.part(seed, "new"))
        store.add(Label(by="otto", word="good", site=site, line=line, station=station, verdict=verdict), data.tobytes())


class Page:
    """The routes on a socket, with one station."""

    def __init__(self, folder: Path, bundles: Path | None, labels: LabelStore, in_force: Bundle | None) -> None:
        self.seen: list[dict[str, Any]] = []
        settings = PageSettings(data=folder, bundles=bundles)
        people = make_people(folder)
        self.app = make_app(people, *teaching_routes.routes)
        self.teaching = Teaching(settings, labels, BundleFolder(bundles), lambda job: self.seen.append(job.as_dict()))
        reference = None if in_force is None else {"name": in_force.manifest.name, "digest": in_force.digest}
        self.view = view = SimpleNamespace(bundle=reference, recipe=None)
        self.app.state.page.teaching = self.teaching
        self.app.state.page.line = SimpleNamespace(station=lambda key: view if key == STATION else None)
        self.audit = people.audit


@pytest.fixture
def page(tmp_path: Path, bundles: Path, labels: LabelStore) -> Page:
    return Page(tmp_path, bundles, labels, open_bundle(bundles / "disc-1"))


def ended(browser: Browser) -> dict[str, Any]:
    """The newest job, when it has ended."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = browser.get(f"/api/teaching?station={STATION}").json()["jobs"][0]
        if job["state"] != "running":
            return job
        time.sleep(0.1)
    raise AssertionError("the job hangs")


def test_a_job_learns_only_from_the_recipe_in_force(page: Page, labels: LabelStore) -> None:
    label(labels, *range(300, 306))  # of parts without a recipe
    page.view.recipe = "disc"
    with serving(page.app) as server:
        browser = Browser(server.port)
        browser.log_in("emma")
        assert (
            browser.post("/api/teaching", {"station": STATION, "what": "threshold"}).json()["job"]["recipe"] == "disc"
        )
        job = ended(browser)
    assert job["state"] == "failed" and "of the recipe disc that is labelled good or defect" in str(job["lines"])


def test_a_job_makes_the_next_bundle(tmp_path: Path, page: Page, bundles: Path, labels: LabelStore) -> None:
    label(labels, *range(300, 306))
    with serving(page.app) as server:
        browser = Browser(server.port)
        browser.log_in("emma")
        asked = browser.get(f"/api/teaching?station={STATION}").json()
        assert asked == {
            "possible": True,
            "why_not": None,
            "labelled": {"good": 6, "defect": 0, "unsure": 0},
            "jobs": [],
        }
        started = browser.post("/api/teaching", {"station": STATION, "what": "memory"})
        assert started.status == 200 and started.json()["job"]["state"] == "running"
        again = browser.post("/api/teaching", {"station": STATION, "what": "memory"})
        assert again.status == 409 and "another bundle is being taught" in again.json()["error"]
        job = ended(browser)
    assert job["state"] == "done", job["lines"]
    made = open_bundle(bundles / job["bundle"])
    assert job["bundle"] == "disc-2" and job["by"] == "emma" and job["what"] == "memory"
    assert job["result"]["digest"] == made.digest and len(job["result"]["changes"]["now_accepted"]) == 6
    assert any("6 parts labelled good" in line for line in job["lines"])
    assert len(page.seen) > 3 and page.seen[-1] == job, "browsers see each line"
    entry = page.audit.newest(1)[0]
    assert (entry["person"], entry["action"], entry["station"]) == ("emma", "teach", STATION)
    kept = Teaching(PageSettings(data=tmp_path), labels, BundleFolder(None), lambda job: None)
    assert [each.as_dict() for each in kept.jobs()] == [job], "a restart forgets nothing"


def test_a_job_that_fails_says_why(page: Page, bundles: Path, labels: LabelStore) -> None:
    label(labels, 300)
    for picture in labels.pictures.iterdir():
        picture.write_bytes(b"no picture")
    with serving(page.app) as server:
        browser = Browser(server.port)
        browser.log_in("emma")
        before = sorted(bundles.iterdir())
        assert browser.post("/api/teaching", {"station": STATION, "what": "threshold"}).status == 200
        job = ended(browser)
    assert (job["state"], job["bundle"], job["result"]) == ("failed", None, None)
    assert "label some parts first" in job["lines"][-1] and sorted(bundles.iterdir()) == before


@pytest.mark.parametrize("user", ["vera", "otto"])
def test_only_engineers_teach(page: Page, labels: LabelStore, user: str) -> None:
    label(labels, 300)
    with serving(page.app) as server:
        browser = Browser(server.port)
        browser.log_in(user)
        assert browser.get(f"/api/teaching?station={STATION}").status == 200
        assert browser.post("/api/teaching", {"station": STATION, "what": "memory"}).status == 403
    assert page.teaching.jobs() == [] and page.audit.newest(1)[0]["action"] != "teach"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"station": STATION}, 400),
        ({"station": STATION, "what": "student"}, 400),
        ({"what": "memory"}, 400),
        ({"station": 3, "what": "memory"}, 400),
        ({"station": "no/such/station", "what": "memory"}, 404),
        ([], 400),
        ({"station": STATION, "what": "memory"}, 409),
    ],
)
def test_what_cannot_be_started(page: Page, body: Any, status: int) -> None:
    with serving(page.app) as server:
        browser = Browser(server.port)
        browser.log_in("emma")
        answer = browser.post("/api/teaching", body)
        assert answer.status == status and answer.json()["error"]


def why_not(folder: Path, bundles: Path | None, labels: LabelStore, in_force: dict[str, str] | None) -> str:
    teaching = Teaching(PageSettings(data=folder, bundles=bundles), labels, BundleFolder(bundles), lambda job: None)
    return teaching.why_not(STATION, in_force) or ""


def test_the_reason_names_what_is_missing(tmp_path: Path, bundles: Path, labels: LabelStore) -> None:
    known = {"name": "disc-1", "digest": open_bundle(bundles / "disc-1").digest}
    assert "no folder of bundles" in why_not(tmp_path, None, labels, known)
    assert "has not said which bundle" in why_not(tmp_path, bundles, labels, None)
    assert "no part of this station is labelled" in why_not(tmp_path, bundles, labels, known)
    label(labels, 300)
    assert "ring-7 is not in" in why_not(tmp_path, bundles, labels, {"name": "ring-7", "digest": "0" * 64})
    assert why_not(tmp_path, bundles, labels, known) == ""


@pytest.mark.parametrize(
    ("there", "name", "following"),
    [
        (["bottle"], "bottle", "bottle-2"),
        (["bottle-2"], "bottle-2", "bottle-3"),
        (["bottle-2", "bottle-3"], "bottle-2", "bottle-4"),
        (["bottle-2", "bottle-3.zip"], "bottle-2", "bottle-4"),
        (["disc.v3"], "disc.v3", "disc.v3-2"),
        (["a-b-9.zip"], "a-b-9.zip", "a-b-10"),
        (["-1"], "-1", "-2"),
    ],
)
def test_the_next_name(tmp_path: Path, there: list[str], name: str, following: str) -> None:
    for each in there:
        (tmp_path / each).mkdir()
    assert next_name(tmp_path, name) == following


@pytest.mark.parametrize("name", ["disc-2", "a[b]*-3", "ä-4"])
def test_a_job_that_the_pages_end_cut_off_has_failed(tmp_path: Path, labels: LabelStore, name: str) -> None:
    job = Job(station=STATION, what="memory", by="emma", out=name, lines=["begun"])
    (tmp_path / "teaching.json").write_text(json.dumps([job.model_dump(mode="json")]))
    left, other = tmp_path / "b" / f".{name}.unfinished", tmp_path / "b" / ".other-2.unfinished"
    left.mkdir(parents=True)
    other.mkdir()
    settings = PageSettings(data=tmp_path, bundles=tmp_path / "b")
    (found,) = Teaching(settings, labels, BundleFolder(None), lambda job: None).jobs(STATION)
    assert found.state == "failed" and found.lines[0] == "begun" and "start it again" in found.lines[1]
    assert not left.exists() and other.exists()


@pytest.mark.parametrize("text", ["", "{", "[3]", '[{"id": "x"}]', "null"])
def test_a_damaged_file_of_jobs_is_forgotten(tmp_path: Path, labels: LabelStore, text: str) -> None:
    (tmp_path / "teaching.json").write_text(text)
    assert Teaching(PageSettings(data=tmp_path), labels, BundleFolder(None), lambda job: None).jobs() == []
