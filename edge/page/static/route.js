// The part of the address behind the #: which view is shown.

import { stationPath } from "./requests.js";

// The address of a view of one station.
export function stationAddress(key, view = "station") {
  return `#/${view}/${stationPath(key)}`;
}

// Returns {name, rest}: the view, and what follows it; {name: "", rest: ""} is the line.
export function readRoute() {
  const [path] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  try {
    return { name, rest: rest.map(decodeURIComponent).join("/") };
  } catch {
    return { name: "", rest: "" }; // somebody wrote a broken address
  }
}
