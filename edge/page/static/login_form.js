// The form with which a person logs in.

import { make, setText } from "./elements.js";
import { logIn } from "./session.js";
import { say } from "./texts.js";

export class LoginForm {
  // Calls `done()` after a login.
  constructor(done) {
    this.title = say("login.title");
    this.user = make("input", { id: "user", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
    this.password = make("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
    this.button = make("button", { class: "primary large", text: say("log_in") });
    this.problem = make("p", { class: "problem", role: "alert" });
    const form = make(
      "form",
      { class: "panel login" },
      make("p", { class: "soft", text: say("title") }),
      make("h1", { text: say("login.title") }),
      make("label", { for: "user", text: say("login.user") }),
      this.user,
      make("label", { for: "password", text: say("login.password") }),
      this.password,
      this.problem,
      this.button,
      make("p", { class: "soft", text: say("login.advice") }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(done);
    });
    this.element = make("div", { class: "view centred" }, form);
  }

  focus() {
    this.user.focus();
  }

  async #send(done) {
    this.button.disabled = true;
    setText(this.problem, "");
    try {
      await logIn(this.user.value.trim(), this.password.value);
      done();
    } catch (error) {
      setText(this.problem, error.status === 401 ? say("login.wrong") : error.message);
      this.password.value = "";
      this.password.focus();
    } finally {
      this.button.disabled = false;
    }
  }
}
