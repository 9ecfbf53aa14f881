// What the page knows of all stations. The stream of events brings it, the views render it.

const KEPT = 24;

export class Line {
  constructor() {
    this.stations = new Map();
    this.broker = true; // whether the page's server is connected to the broker
    this.heardAt = 0; // performance.now() of the newest event while there was a broker
    this.ahead = 0; // ms that the server's clock is ahead of this browser's
    this.loaded = false;
  }

  // Time of the server now, in milliseconds: stations and server share a plant's clock, a tablet may not.
  get now() {
    return Date.now() + this.ahead;
  }

  secondsSince(moment) {
    return (this.now - new Date(moment)) / 1000;
  }

  // Everything anew, after each connection.
  replace(snapshot) {
    const before = this.stations;
    this.stations = new Map();
    for (const view of snapshot.stations) this.#merge(view, before.get(view.key));
    this.loaded = true;
    this.#heard(snapshot);
  }

  merge(change) {
    for (const view of change.stations) this.#merge(view, this.stations.get(view.key));
    this.#heard(change);
  }

  // Stored parts that were rejected before this page was opened.
  addRejects(key, stored) {
    const station = this.stations.get(key);
    const parts = stored.map((part) => ({ ...part, label: part.label?.word ?? null, bundle: part.bundle.name }));
    if (station) station.rejects = mergeParts(station.rejects, parts);
  }

  setLabel({ station, id, label }) {
    const known = this.stations.get(station);
    for (const part of known ? [...known.parts, ...known.rejects] : []) if (part.id === id) part.label = label?.word ?? null;
  }

  #heard({ now, connected }) {
    this.ahead = Date.parse(now) - Date.now();
    this.broker = connected ?? true;
    if (this.broker) this.heardAt = performance.now();
  }

  // The newest parts, and the newest rejected ones: on a quick line those are gone within a second otherwise.
  #merge(view, known) {
    const parts = mergeParts(view.parts, known?.parts ?? []);
    const rejects = mergeParts(view.parts.filter((part) => part.rejected), known?.rejects ?? []);
    this.stations.set(view.key, { ...known, ...view, parts, rejects });
  }
}

// A part that comes again replaces the one with its id. The result is newest first.
export function mergeParts(fresh, old) {
  const again = new Map(fresh.map((part) => [part.id, part]));
  const kept = old.map((part) => {
    const newer = again.get(part.id);
    again.delete(part.id);
    return newer ?? part;
  });
  return [...again.values(), ...kept].sort((one, other) => (one.decided_at < other.decided_at ? 1 : -1)).slice(0, KEPT);
}
