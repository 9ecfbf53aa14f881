// Icons, drawn with the colour of the text around them. Whoever cannot see them reads the word beside them.

import { makeSvg } from "./elements.js";

const PATHS = {
  good: "M4 12.5l5.5 5.5L20 7",
  bad: "M5 5l14 14M19 5L5 19",
  unsure: "M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.1-1.5 2.3M12 18.5v.6",
  run: "M7 4.5v15l12.5-7.5z",
  pause: "M8 5v14M16 5v14",
  warn: "M12 3.5L22 20.5H2zM12 10v5M12 17.5v.5",
  shadow: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18M12 3v18M12 7h5M12 12h9M12 17h5",
  off: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18M5.6 5.6l12.8 12.8",
  wait: "M6 3h12M6 21h12M7 3c0 6 10 12 10 18M17 3c0 6-10 12-10 18",
  undo: "M4 9h11a5 5 0 0 1 0 10h-4M4 9l5-5M4 9l5 5",
  camera: "M3 7h4l2-3h6l2 3h4v13H3zM12 9.5a3.7 3.7 0 1 0 0 7.4 3.7 3.7 0 1 0 0-7.4",
  trigger: "M12 3v6M12 15v6M3 12h6M15 12h6",
  next: "M9 5l7 7-7 7",
  previous: "M15 5l-7 7 7 7",
  theme: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18M12 3v18",
};

export function icon(name) {
  return makeSvg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    makeSvg("path", { d: PATHS[name] }),
  );
}

// Shows another icon in the place of one.
export function setIcon(svg, name) {
  const path = svg.firstElementChild;
  if (path.getAttribute("d") !== PATHS[name]) path.setAttribute("d", PATHS[name]);
}
