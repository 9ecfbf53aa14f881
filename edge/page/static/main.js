// Puts the page together: who is there, which view is shown, and when it is rendered.

import { Banners } from "./banners.js";
import { make } from "./elements.js";
import { Header } from "./header.js";
import { Line } from "./line.js";
import { LoginForm } from "./login_form.js";
import { LabelSender } from "./label_sender.js";
import { LogView } from "./log_view.js";
import { whenLoggedOut } from "./requests.js";
import { ReviewView } from "./review_view.js";
import { readRoute } from "./route.js";
import { logOut, readSession, seesLine, session } from "./session.js";
import { StationView } from "./station_view.js";
import { StationsView } from "./stations_view.js";
import { Stream } from "./stream.js";
import { TeachingView } from "./teaching_view.js";
import { loadTexts, say } from "./texts.js";

const element = (id) => document.getElementById(id);
const line = new Line();
const labels = new LabelSender();
const VIEWS = {
  "": { menu: "line", open: () => new StationsView(line) },
  station: { menu: "line", open: (key) => new StationView(line, key) },
  review: { menu: "review", open: (key) => new ReviewView(line, labels, key) },
  teaching: { menu: "teaching", open: (key) => new TeachingView(line, key) },
  log: { menu: "log", open: () => new LogView(line) },
};

let view = null;
let shown = {};
let wanted = "#/"; // where a person goes after the login
let frame = 0;

await start();

async function start() {
  try {
    await loadTexts();
    await readSession();
  } catch (error) {
    // Without texts there are no words of ours: this is the only text outside texts.json.
    element("main").replaceChildren(make("p", { class: "panel", text: `${error.message} – edge-inspect` }));
    setTimeout(start, 3000);
    return;
  }
  element("skip").textContent = say("skip");
  run();
}

function run() {
  const header = new Header(element("header"), leave);
  const stream = new Stream({
    snapshot: (event) => changed(() => line.replace(event)),
    change: (event) => changed(() => line.merge(event)),
    label: (event) => changed(() => {
      line.setLabel(event);
      view?.setLabel?.(event.station, event.id, event.label);
    }),
    teaching: (event) => changed(() => view?.showJob?.(event.job)),
    lost: () => changed(checkSession),
    found: () => changed(),
  });
  const banners = new Banners(element("banners"), line, stream, labels);

  whenLoggedOut(() => {
    Object.assign(session, { user: null, role: null });
    show();
  });
  addEventListener("hashchange", show);
  addEventListener("keydown", press);
  addEventListener("beforeunload", (event) => labels.pending && event.preventDefault());
  setInterval(changed, 1000); // ages
  show();

  // All changes within one frame are rendered once.
  function changed(change) {
    change?.();
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      header.render(shown.menu, line);
      banners.render();
      view?.render?.();
    });
  }

  function show() {
    const { name, rest } = readRoute();
    view?.close?.();
    if (!session.user && (!seesLine() || name === "login")) {
      stream.stop();
      shown = { menu: "login" };
      view = new LoginForm(() => {
        if (readRoute().name === "login") location.replace(wanted);
        show();
      });
    } else {
      if (name !== "login") wanted = location.hash || "#/";
      stream.start();
      labels.resume();
      shown = VIEWS[name] ?? VIEWS[""];
      view = shown.open(rest);
    }
    document.title = `${view.title} – ${say("title")}`;
    element("main").replaceChildren(view.element);
    view.focus?.();
    changed();
  }

  async function leave() {
    await logOut().catch(() => {});
    location.hash = "#/";
    show();
  }

  // A stream may also end because the session has.
  async function checkSession() {
    const { user } = session;
    await readSession().catch(() => {});
    if (session.user !== user) show();
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input, select, textarea") && event.key !== "Escape") return;
    if (view?.press?.(event)) event.preventDefault();
  }
}
