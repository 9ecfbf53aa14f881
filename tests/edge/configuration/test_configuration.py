from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bundle import write

from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.configuration.file import check_settings, load_settings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.frame.images import write_image
from edge_inspect.edge.sinks import SINKS

Fields = dict[str, Any]


def station(**changes: Any) -> Fields:
    return {"name": "station1", "camera": "folder:/data/parts?fps=5", "bundle": "/data/flange", **changes}


def good(**changes: Any) -> Fields:
    return {"site": "plant", "line": "line1", "stations": [station()], **changes}


def load(tmp_path: Path, content: Any) -> Settings:
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    return load_settings(path)


def mistakes(tmp_path: Path, content: Any) -> list[str]:
    """The lines of the message, each one mistake; the first one, which counts them, is checked here."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, content)
    first, *lines = str(caught.value).splitlines()
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert first == f"{tmp_path / 'config.yaml'}: {count}"
    return [re.sub(r" \(line \d+\)$", "", line.strip()) for line in lines]


def refused(tmp_path: Path, content: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, content)
    assert str(tmp_path / "config.yaml") in str(caught.value)
    return str(caught.value)


def test_the_least_that_must_be_said(tmp_path: Path) -> None:
    settings_ = load(tmp_path, good())
    assert (settings_.site, settings_.line, settings_.stations[0].name) == ("plant", "line1", "station1")
    assert settings_.stations[0].policy == "latest"
    assert (settings_.mqtt.host, settings_.mqtt.port, settings_.mqtt.tls) == ("localhost", 1883, None)
    assert settings_.outbox.durability == "normal"


def test_the_port_follows_tls(tmp_path: Path) -> None:
    assert load(tmp_path, good(mqtt={"tls": {}})).mqtt.port == 8883
    assert load(tmp_path, good(mqtt={"tls": {}, "port": 1234})).mqtt.port == 1234


def test_comments_and_names_may_be_written_in_any_language(tmp_path: Path) -> None:
    text = "# mm² je Bildpunkt\n" + yaml.safe_dump(good(site="Köln"), allow_unicode=True)
    assert load(tmp_path, text.encode()).site == "Köln"


def test_every_mistake_is_said_at_once_with_its_key(tmp_path: Path) -> None:
    wrong = good(
        stations=[station(policy="newest", queue=0), station(name="b", camera="ftp://camera", mm_per_px=-1, sped=3)],
        mqtt={"port": 70_000, "username": "", "hots": "broker"},
        outbox={"max_bytes": "many"},
        health_every_s=0,
    )
    del wrong["line"]
    said = mistakes(tmp_path, wrong)
    keys = [line.split(": ")[0] for line in said]
    assert sorted(keys) == sorted(
        [
            "line",
            "stations.0.policy",
            "stations.0.queue",
            "stations.1.camera",
            "stations.1.mm_per_px",
            "stations.1.sped",
            "mqtt.port",
            "mqtt.username",
            "mqtt.hots",
            "outbox.max_bytes",
            "health_every_s",
        ]
    )


def test_unknown_keys_name_those_there_are(tmp_path: Path) -> None:
    wrong = good(sites="x", mqtt={"tls": {"ca": "ca.pem"}}, engine={"treads": 2}, stations=[station(nmae="a")])
    assert mistakes(tmp_path, wrong) == [
        "stations.0.nmae: unknown key; the keys are name, camera, bundle, recipes, recipe_memory_mb, precision, "
        "policy, trigger, queue, mm_per_px, min_region_px, min_region_mm2, defect_share, shadow, pictures",
        "mqtt.tls.ca: unknown key; the keys are ca_file, certificate, key",
        "engine.treads: unknown key; the keys are name, precision, threads, cache",
        "sites: unknown key; the keys are site, line, stations, bundles, sink, mqtt, outbox, commands, engine, "
        "evidence, health, health_every_s",
    ]


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (good(site=5), "site: must be text, and 5 is a number; put it in quotes"),
        (good(outbox={"path": 1e3}), "outbox.path: must be text, and 1000.0 is a number; put it in quotes"),
        (good(stations={}), "stations: must be a list (`- item`); it is a mapping"),
        (good(stations=[]), "stations: list should have at least 1 item after validation, not 0"),
        (good(stations=["a"]), "stations.0: must be a mapping (`key: value`); it is 'a'"),
        (good(mqtt=None), "mqtt: has no value; write one, or leave the key out"),
        (good(mqtt={"port": "broker"}), "mqtt.port: input should be a valid integer"),
        (good(mqtt={"port": 0}), "mqtt.port: input should be greater than or equal to 1; it is 0"),
        (good(outbox={"durability": "some"}), "outbox.durability: input should be 'normal' or 'full'; it is 'some'"),
        (
            good(stations=[station(precision="int4")]),
            "stations.0.precision: input should be 'int8', 'bf16', 'fp16' or",
        ),
        (good(stations=[station(camera="")]), "stations.0.camera: is empty; write a value, or leave the key out"),
        (good(stations=[station(camera="folder:/a?v=2")]), "stations.0.camera: camera 'folder:/a': unknown option v"),
        (good(mqtt={"password_file": "secret"}), "mqtt: 'password_file' is given without 'username'; give both"),
        (good(mqtt={"tls": {"key": "a.key"}}), "mqtt.tls: mutual TLS needs both 'certificate' and 'key'"),
    ],
)
def test_a_wrong_value_is_said_with_its_key(tmp_path: Path, content: Fields, mistake: str) -> None:
    (said,) = mistakes(tmp_path, content)
    assert said.startswith(mistake)


def test_what_is_missing_is_said_with_its_meaning(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {"stations": [{}]}) == [
        "site: is missing (name of the plant; topics begin with edge-inspect/v1/SITE/LINE/STATION)",
        "line: is missing (name of the production line, part of every topic)",
        "stations.0.name: is missing (name of the station, and the last level of its topics)",
        "stations.0.camera: is missing (URI of the camera: folder:, video:, v4l2:, rtsp:, rtsps:, gst:, "
        "aravis:, genicam:; docs/cameras.md has the options)",
        "stations.0.bundle: is missing (bundle of the product, a folder or a .zip; with recipes it is left out, and is "
        "that of the first)",
    ]


def test_two_stations_need_two_names(tmp_path: Path) -> None:
    stations = [station(name=name) for name in ("a", "b", "a", "c", "b")]
    (said,) = mistakes(tmp_path, good(stations=stations))
    assert "stations: several are named a, b; give each station its own name" in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a/b", "contains '/', '+', '#'"),
        ("#", "contains '/', '+', '#'"),
        ("", "is empty"),
        ("x" * 65, "has 65 characters"),
        ("line\u200b1", "a character that cannot be printed"),
        ("line\x001", "holds the control character U+0000"),
        ("line\x1b[31m", "holds the control character U+001B"),
        ("plant ", "begins or ends with a blank"),
        ("..", "cannot be a name"),
    ],
)
def test_names_must_be_levels_of_a_topic(tmp_path: Path, name: str, why: str) -> None:
    for change in ({"site": name}, {"line": name}, {"stations": [station(name=name)]}):
        (said,) = mistakes(tmp_path, good(**change))
        assert why in said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("v4l2:///dev/video0", "v4l2:///dev/video0?size=640x480"),
        ("aravis:Vendor-1?gain=2", "aravis:Vendor-1"),
        ("genicam:/a.cti?device=1", "genicam:/a.cti?device=1&fps=5"),
    ],
)
def test_two_stations_cannot_share_a_device(tmp_path: Path, first: str, second: str) -> None:
    stations = [station(camera=first), station(name="b", camera=second)]
    (said,) = mistakes(tmp_path, good(stations=stations))
    assert "station1 and b name the same camera " in said


def test_what_gives_frames_to_several_can_be_shared(tmp_path: Path) -> None:
    for camera in ("folder:/a", "rtsp://camera/stream", "genicam:/a.cti?device={}", "v4l2:///dev/video{}"):
        load(tmp_path, good(stations=[station(name=str(i), camera=camera.format(i)) for i in range(2)]))


def test_mistakes_have_the_line_of_their_key(tmp_path: Path) -> None:
    text = """\
site: plant
line: 5
stations:
  - {name: a, camera: "folder:/a"}
  - name: b
    camera: folder:/b
    bundle: /b
    queue: [1]
mqtt: # of the plant
  host: broker:1883
  prot: 1883
"""
    said = refused(tmp_path, text.encode())
    lines = dict(re.findall(r"^  (\S+): .* \(line (\d+)\)$", said, re.MULTILINE))
    assert lines == {
        "line": "2",
        "stations.0.bundle": "4",
        "stations.1.queue": "8",
        "mqtt.host": "10",
        "mqtt.prot": "11",
    }


def test_every_key_that_is_there_twice_is_said(tmp_path: Path) -> None:
    text = """\
site: plant
line: line1
stations:
  - name: a
    camera: folder:/a
    bundle: /a
    camera: folder:/b
mqtt:
  host: broker.lan
  tls: {ca_file: a.pem, ca_file: b.pem}
mqtt:
  host: localhost
mqtt: {}
"""
    assert refused(tmp_path, text.encode()).splitlines() == [
        f"{tmp_path / 'config.yaml'}: 3 mistakes",
        "  stations.0.camera: is given twice, lines 5 and 7; keep one",
        "  mqtt.tls.ca_file: is given twice, line 10; keep one",
        "  mqtt: is given 3 times, lines 8, 11 and 13; keep one",
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"outbox": {"max_age_s": float("inf")}}, "outbox.max_age_s: input should be a finite number"),
        ({"health_every_s": float("nan")}, "health_every_s: input should be a finite number"),
        ({"outbox": {"max_bytes": 10**30}}, "outbox.max_bytes: "),
        ({"mqtt": {"port": True}}, "mqtt.port: must be a number, and true is not one"),
        ({"mqtt": {"username": "a\x00b"}}, "mqtt.username: holds the control character U+0000"),
        ({"mqtt": {"tls": {"ca_file": "/a\x00"}}}, "mqtt.tls.ca_file: holds the control character U+0000"),
        ({"bundles": {"public_keys": ["/a", "/b\x07"]}}, "bundles.public_keys: holds the control character U+0007"),
        ({"mqtt": {"host": "mqtts://box:secret@broker:8884"}}, "mqtt.host: is a URL (mqtts://...); write host: broker"),
    ],
)
def test_what_would_fail_later_is_refused(tmp_path: Path, change: Fields, why: str) -> None:
    (said,) = mistakes(tmp_path, good(**change))
    assert said.startswith(why) and "secret" not in said


SIGNED = {"folder": "/bundles", "public_keys": ["/key.pub.pem"]}


def pulling(*prefixes: str, **more: Any) -> Fields:
    return good(bundles={**SIGNED, "pull": {"prefixes": list(prefixes), **more}})


def test_bundles_may_be_fetched_from_folders_of_servers(tmp_path: Path) -> None:
    pull = load(tmp_path, pulling("https://central.example/bundles/", "http://[::1]:8080")).bundles.pull
    assert pull is not None and (pull.largest_bytes, pull.keep_free_bytes) == (500_000_000, 512_000_000)
    for url, allowed in (("http://[::1]:8080/a.zip", True), ("https://central.example/a.zip", False)):
        assert pull.allow(WebAddress.parse(url)) is allowed
    assert load(tmp_path, good()).bundles.pull is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (good(bundles={"pull": {"prefixes": ["https://a/"]}}), "bundles: pull needs folder and public_keys: a fetched"),
        (good(bundles={"folder": "/b", "pull": {"prefixes": ["https://a/"]}}), "bundles: pull needs public_keys: "),
        (good(bundles={**SIGNED, "pull": {}}), "bundles.pull.prefixes: is missing (URLs of the folders"),
        (pulling(), "bundles.pull.prefixes: "),
        (pulling("central.example/bundles"), "bundles.pull.prefixes: 'central.example/bundles' does not begin with"),
        (pulling("https://a/", "ftp://b/"), "bundles.pull.prefixes: 'ftp://b/' does not begin with http"),
        (pulling("https://me:word@central.example/"), "bundles.pull.prefixes: "),
        (pulling("https://central.example/?a=b"), "bundles.pull.prefixes: "),
        (pulling("https://a/", largest_mb=0), "bundles.pull.largest_mb: "),
        (pulling("https://a/", keep=0), "bundles.pull.keep: "),
        (pulling("https://a/", timeout_s=True), "bundles.pull.timeout_s: must be a number"),
        (pulling("https://a/", prefix="x"), "bundles.pull.prefix: unknown key; the keys are prefixes, ca_file"),
    ],
)
def test_a_wrong_pull_is_refused_with_its_key(tmp_path: Path, content: Fields, why: str) -> None:
    (said,) = mistakes(tmp_path, content)
    assert said.startswith(why)


@pytest.mark.parametrize("given", [{}, {"share": 1}, {"rejects": False, "share": 0.5}, {"per_second": 0.1}])
def test_pictures_have_defaults(tmp_path: Path, given: Fields) -> None:
    loaded = load(tmp_path, good(stations=[station(pictures=given), station(name="b")]))
    expected = {"rejects": True, "share": 0.01, "per_second": 2, **given}
    assert loaded.stations[0].pictures is not None and loaded.stations[0].pictures.model_dump() == expected
    assert loaded.stations[1].pictures is None, "default: none are published"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"rejects": False, "share": 0}, "stations.0.pictures: with rejects: false and share: 0 no picture is publ"),
        ({"share": 1.5}, "stations.0.pictures.share: "),
        ({"share": -0.1}, "stations.0.pictures.share: "),
        ({"share": True}, "stations.0.pictures.share: must be a number, and true is not one"),
        ({"per_second": 0}, "stations.0.pictures.per_second: "),
        ({"per_second": float("inf")}, "stations.0.pictures.per_second: "),
        ({"rejects": 3}, "stations.0.pictures.rejects: "),
        ({"quality": 90}, "stations.0.pictures.quality: "),
        ("rejects", "stations.0.pictures: "),
    ],
)
def test_wrong_settings_of_pictures_are_refused(tmp_path: Path, given: Any, why: str) -> None:
    (said,) = mistakes(tmp_path, good(stations=[station(pictures=given)]))
    assert said.startswith(why), said


def test_pictures_need_json_over_mqtt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stations = [station(), station(name="b", pictures={}), station(name="c", pictures={"share": 0.1})]
    said = refused(tmp_path, good(stations=stations, mqtt={"encoding": "sparkplug_b"}))
    assert "stations: b, c: pictures need JSON; set mqtt.encoding to json, or leave pictures out" in said
    monkeypatch.setitem(SINKS, "lines", "line_sink:open_sink")
    said = refused(tmp_path, good(stations=stations, sink="lines:/tmp/out"))
    assert "stations: b, c: pictures are published by the sink mqtt only; set sink to mqtt, or leave" in said
    assert load(tmp_path, good(sink="lines:/tmp/out")).stations[0].pictures is None


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- a\n- b\n", b"plant", b"3"])
def test_an_empty_file_says_what_it_needs(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content).endswith("is empty or no mapping; it needs the keys site, line, stations")


@pytest.mark.parametrize(
    "content",
    [
        b"site: [",
        b"\xff\xfe\xfa",
        b"site: a\n---\nsite: b",
        b"site: !!timestamp no",
        b"a: !!python/name:os.system",
        b"[" * 500,
    ],
    ids=["open bracket", "no text", "two documents", "no time", "python tag", "deep"],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "is no YAML: " in refused(tmp_path, content)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read: it is a folder"):
        load_settings(tmp_path)


names = st.sampled_from(
    ["site", "line", "stations", "mqtt", "outbox", "engine", "name", "camera", "bundle", "tls", "port"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.datetimes()
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)
fast = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def takes_or_refuses(tmp_path: Path, content: Any) -> None:
    try:
        load(tmp_path, content)
    except ConfigurationError as error:
        assert str(tmp_path / "config.yaml") in str(error)


@given(st.dictionaries(names | st.text(max_size=5), values, max_size=6))
@fast
def test_any_mapping_is_a_configuration_or_refused(tmp_path: Path, content: Fields) -> None:
    takes_or_refuses(tmp_path, content)


@given(values, st.data())
@fast
def test_a_configuration_with_any_value_anywhere_is_taken_or_refused(
    tmp_path: Path, value: Any, data: st.DataObject
) -> None:
    content = good(mqtt={"tls": {}}, outbox={}, engine={})
    container = data.draw(
        st.sampled_from([content, content["stations"][0], content["mqtt"], content["mqtt"]["tls"], content["outbox"]])
    )
    container[data.draw(names | st.sampled_from(sorted(container) or ["x"]))] = value
    takes_or_refuses(tmp_path, content)


VALID = """\
site: plant
line: line1
stations:
  - &first {name: a, camera: "folder:/a?fps=5", bundle: /a, trigger: every 500 ms}
  - {<<: *first, name: b, mm_per_px: 0.5, queue: 4}
mqtt: {host: broker.lan, port: 1883, username: box, tls: {ca_file: /ca.pem}}
outbox: {path: /tmp/outbox.db, durability: full}
"""
PIECES = [
    "\t",
    "\0",
    "---\n",
    "*first",
    "<<: ",
    "!!int ",
    "&x ",
    "{",
    "]",
    "'",
    '"\\ud800"',
    ": ",
    "\n",
    "  ",
    ".inf",
    "%",
    "@",
    "on",
    "9" * 500,
]


@given(st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3))
@fast
def test_a_mutated_configuration_is_taken_or_refused(tmp_path: Path, changes: list[tuple[int, int, str]]) -> None:
    text = VALID
    for at, removed, piece in changes:
        text = text[:at] + piece + text[at + removed :]
    takes_or_refuses(tmp_path, text.encode())


@given(st.binary(max_size=40) | st.text(alphabet="[]{}:-!&*#?|>'\"%@` \n\tsite10", max_size=40).map(str.encode))
@fast
def test_any_bytes_are_a_configuration_or_refused(tmp_path: Path, content: bytes) -> None:
    takes_or_refuses(tmp_path, content)


@pytest.fixture
def present(tmp_path: Path) -> Fields:
    """A configuration whose bundle, camera and outbox are there."""
    write(tmp_path / "flange")
    write_image(tmp_path / "parts" / "a.png", np.zeros((8, 8, 3), np.uint8))
    one = station(camera=f"folder:{tmp_path / 'parts'}", bundle=str(tmp_path / "flange"))
    return good(stations=[one], outbox={"path": str(tmp_path / "outbox.db")})


def check(tmp_path: Path, content: Fields) -> list[str]:
    """What `check_settings` says, line by line."""
    loaded = load(tmp_path, content)
    try:
        check_settings(tmp_path / "config.yaml", loaded)
    except ConfigurationError as error:
        return [line.strip() for line in str(error).splitlines()]
    return []


def test_what_a_configuration_names_is_there(tmp_path: Path, present: Fields) -> None:
    assert check(tmp_path, present) == []


def test_all_that_is_not_there_is_said_at_once(tmp_path: Path, present: Fields) -> None:
    present["stations"] += [station(name="b", camera="video:/not/there.mp4", bundle=str(tmp_path / "none"))]
    present["stations"][0]["camera"] = f"folder:{tmp_path / 'no folder'}"
    present["outbox"]["path"] = str(tmp_path / "nowhere" / "outbox.db")
    present["bundles"] = {"folder": str(tmp_path / "bundles")}
    file = tmp_path / "parts" / "a.png"
    present["evidence"] = {"folder": str(file / "evidence")}
    present["mqtt"] = {
        "username": "box",
        "password_file": str(tmp_path / "password"),
        "tls": {"ca_file": str(tmp_path / "ca.pem")},
    }
    first, *said = check(tmp_path, present)
    assert first == f"{tmp_path / 'config.yaml'}: 8 mistakes"
    assert said == [
        f"stations.0.camera: camera folder:{tmp_path}/no folder: no such folder",
        f"stations.1.bundle: {tmp_path}/none: no such bundle; make one with calibrate bundle",
        "stations.1.camera: camera video:/not/there.mp4: no such file",
        f"outbox.path: the folder {tmp_path}/nowhere is missing or cannot be written; create it, or name another",
        f"bundles.folder: {tmp_path}/bundles is no folder; create it, or name another",
        f"evidence.folder: this user cannot create or write {file}/evidence: Not a directory; create it, "
        "change the permissions, or name another",
        f"mqtt.password_file: {tmp_path}/password: No such file or directory",
        f"mqtt.tls.ca_file: {tmp_path}/ca.pem: No such file or directory",
    ]


def test_a_credential_of_systemds_is_not_missed_in_a_shell(
    tmp_path: Path, present: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    present["mqtt"] = {"username": "box", "password_file": "mqtt-password"}
    loaded = load(tmp_path, present)
    remedy = "; a name without a folder is a credential of systemd's: LoadCredential=mqtt-password:FILE in the unit"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (unseen,) = check_settings(tmp_path / "config.yaml", loaded)
    assert unseen.startswith(f"mqtt.password_file: mqtt-password is not checked{remedy}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (said,) = check(tmp_path, present)[1:]
    assert said.startswith(f"mqtt.password_file: {tmp_path}/mqtt-password: No such file or directory{remedy}")
    (tmp_path / "mqtt-password").write_text("secret")
    assert check(tmp_path, present) == []


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        (True, "trigger 'gpio:/dev/null/1': /dev/null is not a GPIO chip; gpiodetect lists the chips of this box"),
        (False, "trigger gpio: import of gpiod halted; None in sys.modules; pip install 'edge-inspect[gpio]'"),
    ],
)
def test_what_a_trigger_needs_is_looked_for(
    tmp_path: Path, present: Fields, monkeypatch: pytest.MonkeyPatch, installed: bool, said: str
) -> None:
    present["stations"] += [{**present["stations"][0], "name": "b", "trigger": "gpio:/dev/null/1"}]
    if installed:
        pytest.importorskip("gpiod", reason="pip install gpiod")
    else:
        monkeypatch.setitem(sys.modules, "gpiod", None)
    first, *mistakes_ = check(tmp_path, present)
    assert first.endswith("1 mistake") and mistakes_ == [f"stations.1.trigger: {said}"]


def test_a_precision_the_bundle_has_not_is_said(tmp_path: Path, present: Fields) -> None:
    present["stations"][0]["precision"] = "fp16"
    first, said = check(tmp_path, present)
    assert first.endswith("1 mistake")
    assert "stations.0.bundle: " in said and "has no fp16 model; it has int8, fp32" in said


def test_a_changed_bundle_is_said(tmp_path: Path, present: Fields) -> None:
    (tmp_path / "flange" / "model.int8.onnx").write_bytes(b"another")
    _, said = check(tmp_path, present)
    assert "model.int8.onnx was changed after the bundle was made" in said


def test_a_wrong_option_of_a_camera_is_said(tmp_path: Path, present: Fields) -> None:
    present["stations"][0]["camera"] += "?loop=perhaps"
    assert mistakes(tmp_path, present) == ["stations.0.camera: camera option loop=perhaps must be true or false"]


def test_commands_are_refused_unless_they_are_named(tmp_path: Path) -> None:
    assert load(tmp_path, good()).commands.allow == []
    assert load(tmp_path, good(commands={"allow": ["pause", "resume"]})).commands.allow == ["pause", "resume"]
    (mistake,) = mistakes(tmp_path, good(commands={"allow": ["fly"]}))
    assert mistake.startswith("commands.allow.0: ") and "'trigger'" in mistake
    triggered = good(stations=[station(trigger="command")])
    assert "station1 has trigger: command, but the command trigger is not allowed" in refused(tmp_path, triggered)
    load(tmp_path, {**triggered, "commands": {"allow": ["trigger"]}})
    assert "bundle needs bundles.folder" in refused(tmp_path, good(commands={"allow": ["bundle"]}))
    load(tmp_path, good(commands={"allow": ["bundle"]}, bundles={"folder": str(tmp_path)}))


def test_what_the_outbox_does_when_full_has_a_name(tmp_path: Path) -> None:
    assert load(tmp_path, good()).outbox.when_full == "drop_oldest"
    assert load(tmp_path, good(outbox={"when_full": "drop_newest"})).outbox.when_full == "drop_newest"
    assert "outbox.when_full" in refused(tmp_path, good(outbox={"when_full": "stop"}))


@pytest.mark.parametrize("trigger", ["camera", "every 500 ms", "gpio:/dev/gpiochip0/17?edge=both&delay=20"])
def test_a_trigger_may_be_the_clock_or_a_line(tmp_path: Path, trigger: str) -> None:
    assert load(tmp_path, good(stations=[station(trigger=trigger)])).stations[0].trigger == trigger


def test_an_unknown_trigger_is_refused_with_its_forms(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, good(stations=[station(trigger="every 5 s")]))
    assert mistake == (
        "stations.0.trigger: trigger 'every 5 s': must be camera, command, every N ms, or gpio:/dev/gpiochipN/LINE"
    )


def test_the_least_region_is_in_pixels_of_the_frame(tmp_path: Path) -> None:
    def least(**more: object) -> float:
        return load(tmp_path, good(stations=[station(**more)])).stations[0].min_area_px

    assert least() == 0
    assert least(min_region_px=15) == 15
    assert least(min_region_mm2=0.5, mm_per_px=0.1) == pytest.approx(50)
    assert least(min_region_mm2=0.5, mm_per_px=0.1, min_region_px=80) == 80
    (mistake,) = mistakes(tmp_path, good(stations=[station(min_region_mm2=0.5)]))
    assert "mm_per_px" in mistake and "min_region_px" in mistake
