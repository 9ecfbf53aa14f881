// Requests to the page's server.

import { say } from "./texts.js";

const PATIENCE = 60_000; // ms; a station may take long to load a bundle

// The server cannot be reached: try again later.
export class Unreachable extends Error {}

// The server refused: the message says why, and what to do.
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let csrf = "";
let onLoggedOut = () => {};

export function useToken(token) {
  csrf = token ?? "";
}

// Calls `act` when the server says that the session has ended.
export function whenLoggedOut(act) {
  onLoggedOut = act;
}

// Returns the answer; throws Refused or Unreachable. With a `body` the request is a POST.
export async function ask(path, body) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Unreachable(say("error.unreachable"));
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if ([502, 503].includes(response.status) && !answer.error) throw new Unreachable(say("error.unreachable"));
  if (response.status === 401 && path !== "login") onLoggedOut();
  throw new Refused(response.status, answer.error ?? say("error.status", { status: String(response.status) }));
}

// The path of a station: site, line and station, each encoded.
export function stationPath(key) {
  return key.split("/").map(encodeURIComponent).join("/");
}

export function pictureAddress(station, id, width) {
  return `api/pictures/${stationPath(station)}/${encodeURIComponent(id)}?width=${width}`;
}

export function mapAddress(station, id) {
  return `api/maps/${stationPath(station)}/${encodeURIComponent(id)}`;
}
