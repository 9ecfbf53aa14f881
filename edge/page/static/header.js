// The bar at the top: the views, the clock of the line, light or dark, and who is logged in.

import { make, setAttribute, setHidden, setText } from "./elements.js";
import { time } from "./formats.js";
import { icon } from "./icons.js";
import { may, seesLine, session } from "./session.js";
import { say } from "./texts.js";

const VIEWS = { line: ["#/", "viewer"], review: ["#/review", "viewer"], teaching: ["#/teaching", "engineer"], log: ["#/log", "engineer"] };

export class Header {
  constructor(element, logOut) {
    this.links = Object.entries(VIEWS).map(([name, [href, role]]) => ({ name, role, link: make("a", { href, text: say(`menu.${name}`) }) }));
    this.clock = make("span", { class: "clock" });
    this.user = make("span", { class: "user" });
    this.theme = make("button", { class: "quiet", click: () => window.switchTheme(), title: say("theme"), "aria-label": say("theme") }, icon("theme"));
    this.out = make("button", { class: "quiet", click: logOut, text: say("log_out") });
    this.in = make("a", { class: "button", href: "#/login", text: say("log_in") });
    const menu = make("nav", { "aria-label": say("menu.label") }, ...this.links.map(({ link }) => link));
    element.replaceChildren(menu, make("div", { class: "header-end" }, this.clock, this.user, this.theme, this.out, this.in));
  }

  render(view, line) {
    for (const { name, role, link } of this.links) {
      setHidden(link, !seesLine() || !may(role));
      setAttribute(link, "aria-current", name === view ? "page" : null);
    }
    setText(this.clock, time(line.now, line.now));
    setText(this.user, session.user ?? (session.display ? say("display") : ""));
    setAttribute(this.user, "title", session.user && say(`role.${session.role}`));
    setHidden(this.out, !session.user);
    setHidden(this.in, Boolean(session.user) || view === "login");
  }
}
