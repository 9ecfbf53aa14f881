// The list of areas beside the picture: name, kind, and what keeps an area from being saved.

export class AreaList {
  constructor(drawing) {
    this.drawing = drawing;
    this.element = document.getElementById("areas");
    this.rows = [];
    this.problems = [];
  }

  render() {
    const { areas } = this.drawing;
    while (this.rows.length > areas.length) this.rows.pop().item.remove();
    while (this.rows.length < areas.length) this.rows.push(this.makeRow(this.rows.length));
    areas.forEach((area, index) => {
      const { item, name, kind, problem } = this.rows[index];
      item.className = index === this.drawing.area ? `${area.kind} chosen` : area.kind;
      if (document.activeElement !== name) name.value = area.name;
      kind.value = area.kind;
      problem.textContent = this.problems.filter((found) => found.area === index).map((found) => capital(found.text)).join(". ");
    });
  }

  // Lets the person type the name of an area.
  rename(index) {
    this.rows[index].name.focus();
    this.rows[index].name.select();
  }

  makeRow(index) {
    const { drawing } = this;
    const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
    const item = make("li", {});
    const row = make("div", { className: "row" });
    const name = make("input", { ariaLabel: `Name of area ${index + 1}`, maxLength: 64, spellcheck: false, autocomplete: "off" });
    const kind = make("select", { ariaLabel: `Kind of area ${index + 1}` });
    kind.append(new Option("look"), new Option("ignore"));
    const remove = make("button", { textContent: "✕", title: "Delete this area", ariaLabel: `Delete area ${index + 1}` });
    const problem = make("p", { className: "problem" });
    row.append(name, kind, remove);
    item.append(row, problem);
    this.element.append(item);

    item.addEventListener("pointerdown", () => drawing.tool === "select" && drawing.choose(index));
    name.addEventListener("focus", () => {
      if (drawing.tool === "select" && drawing.area !== index) drawing.choose(index);
      drawing.begin();
    });
    name.addEventListener("input", () => {
      drawing.areas[index].name = name.value;
      drawing.changed();
    });
    name.addEventListener("blur", () => {
      if (drawing.areas[index]) drawing.areas[index].name = name.value.trim();
      drawing.commit();
      drawing.changed();
    });
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") document.getElementById("stage").focus();
    });
    kind.addEventListener("change", () => {
      const { value } = kind; // a change renders the list first
      drawing.change(() => (drawing.areas[index].kind = value));
    });
    remove.addEventListener("click", () => drawing.deleteArea(index));
    return { item, name, kind, problem };
  }
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
