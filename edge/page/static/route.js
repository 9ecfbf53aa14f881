// The part of the address behind the #: which view is shown.

export const stationAddress = (key) => `#/station/${key.split("/").map(encodeURIComponent).join("/")}`;

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
