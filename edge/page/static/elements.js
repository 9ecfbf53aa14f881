// Makes and changes elements. Text from the wire only ever becomes text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

// Makes an element. `text` becomes its text, functions become listeners of the event they are named after, all other
// properties become attributes; false, null and undefined are left out, true is an empty attribute.
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function makeSvg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "text") element.textContent = value;
    else setAttribute(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// The following change only what differs, because the live view is rendered ten times a second.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

// Gives a container one child for each item, in their order. A child is kept as long as its item's key is there.
export function renderEach(container, items, keyOf, makeChild, update) {
  const kept = (container.renderedChildren ??= new Map());
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, child] of kept) {
    if (!wanted.has(key)) {
      child.element.remove();
      kept.delete(key);
    }
  }
  let place = container.firstElementChild;
  for (const [key, item] of wanted) {
    let child = kept.get(key);
    if (!child) kept.set(key, (child = makeChild(item)));
    if (child.element === place) place = place.nextElementSibling;
    else container.insertBefore(child.element, place);
    update(child, item);
  }
}
