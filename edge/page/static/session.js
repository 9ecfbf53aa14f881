// Who is logged in, and what that person may do.

import { ask, useToken } from "./requests.js";

const ROLES = ["viewer", "operator", "engineer"];

export const session = { user: null, role: null, display: false, version: "" };

export async function readSession() {
  take(await ask("session"));
}

export async function logIn(user, password) {
  take({ ...session, ...(await ask("login", { user, password })) });
}

export async function logOut() {
  await ask("logout", {});
  await readSession();
}

// Each role may do what the one before may.
export function may(role) {
  return ROLES.indexOf(session.role) >= ROLES.indexOf(role);
}

export function seesLine() {
  return session.user !== null || session.display;
}

function take({ user, role, csrf, display, version }) {
  Object.assign(session, { user, role: role ?? (display ? "viewer" : null), display, version });
  useToken(csrf);
}
