"""The page's script: tables that sort, and the gallery of edits. Every name from the data enters as text, never as markup."""

SCRIPT = """
"use strict";
const number = text => parseFloat(text.replace("\\u2212", "-").replace(/,(?=\\d{3})/g, ""));
const inWords = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  const [x, y] = [number(a), number(b)];
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return Number.isNaN(x) || x === y ? inWords.compare(a, b) : x - y;
}

function sortBy(table, head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const cell = row => row.cells[head.cellIndex].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * compare(cell(a), cell(b)));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sorts"))
  for (const head of table.tHead.rows[0].cells) {
    const button = element("button", "");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
  }

function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function card(image, pictures, wanted) {
  const made = element("figure", "", wanted(image) ? "good" : "bad");
  const picture = element("img", "");
  picture.src = pictures[image.picture];
  picture.alt = `${image.label_name}, before the edit seen as ${image.before_name}, after it as ${image.after_name}`;
  const sign = wanted(image) ? "\\u2713" : "\\u2717";
  const caption = element("figcaption", "");
  caption.append(element("b", image.label_name), element("span", `before: ${image.before_name}`),
    element("span", `after: ${image.after_name} ${sign}`, "after"));
  made.append(picture, caption);
  return made;
}

const HEADS = {
  edit: () => "Edit sample",
  neighbour: edit => `Neighbours: ${edit.corrected} right after the edit`,
  flipped: edit => `Locality set: ${edit.flipped} predictions flipped`,
};

function show(edit, pictures, place) {
  place.replaceChildren();
  for (const [role, head] of Object.entries(HEADS)) {
    const row = element("div", "", "strip");
    row.append(...edit.images[role].map(image => card(image, pictures, one => one.right_after)));
    place.append(element("h3", head(edit)), row);
    if (!edit.images[role].length) place.append(element("p", "None.", "quiet"));
  }
}

function choose(fields, edits, chosen) {
  let left = edits;
  for (const [name, field] of Object.entries(fields)) {
    const values = [...new Set(left.map(edit => edit[name]))];
    const value = values.includes(chosen[name]) ? chosen[name] : values[0];
    field.replaceChildren(...values.map(text => new Option(text, text, false, text === value)));
    left = left.filter(edit => edit[name] === value);
  }
  return left[0];
}

function gallery(data, form, place) {
  const fields = {};
  for (const name of ["backbone", "method", "group"]) {
    const label = element("label", name[0].toUpperCase() + name.slice(1) + " ");
    fields[name] = element("select", "");
    fields[name].name = name;
    label.append(fields[name]);
    form.append(label);
  }
  const update = () => {
    const chosen = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value]));
    show(choose(fields, data.edits, chosen), data.pictures, place);
  };
  form.addEventListener("change", update);
  update();
}

const given = document.getElementById("edits-data");
if (given) gallery(JSON.parse(given.textContent), document.getElementById("choose"), document.getElementById("shown"));
"""
