// Sorting, filtering, hiding and saving of the tables, which are complete without it. What a reader has chosen stands in
// the address, so that a link shows the same table.
"use strict";

const FEW = 8; // rows that need no search
const tables = [];
const address = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A number where the text begins with one; gaps come last in either direction.
function value(cell) {
  const text = (cell.querySelector("a, button") || cell.firstChild || cell).textContent.trim();
  const number = parseFloat(text.replace("−", "-").replace(/,/g, ""));
  return text === "–" || text === "" ? null : Number.isNaN(number) || /[a-z]{3}/i.test(text) ? text : number;
}

class Table {
  constructor(element) {
    this.element = element;
    this.id = element.id;
    this.heads = [...element.tHead.rows[0].cells];
    this.body = element.tBodies[0];
    this.rows = [...this.body.rows];
    this.filters = new Map();
    this.hidden = new Set();
    this.sort = null;
    this.query = "";
    for (const [place, head] of this.heads.entries()) {
      const button = make("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => this.toggleSort(place));
      head.replaceChildren(button);
      const about = head.getAttribute("aria-describedby");
      if (about) {
        button.setAttribute("aria-describedby", about);
        for (const event of ["focus", "pointerenter"]) button.addEventListener(event, () => this.explain(about));
      }
    }
    if (!element.classList.contains("plain") && this.rows.length > 1) this.addTools();
  }

  key(place) { return this.heads[place].dataset.key; }
  place(key) { return this.heads.findIndex((head) => head.dataset.key === key); }

  addTools() {
    const tools = make("div", { class: "tools", role: "group", "aria-label": `what is shown of: ${this.element.caption.textContent}` });
    this.search = make("input", { type: "search" });
    this.search.addEventListener("input", () => { this.query = this.search.value; this.changed(); });
    if (this.rows.length > FEW) tools.append(make("label", {}, "Search", this.search));
    this.selects = new Map();
    for (const [place, head] of this.heads.entries()) {
      if (!("filter" in head.dataset)) continue;
      const found = [...new Set(this.rows.map((row) => row.cells[place].textContent))].sort();
      if (found.length < 2) continue;
      const select = make("select", {}, new Option("all", ""), ...found.map((text) => new Option(text, text)));
      select.addEventListener("change", () => { this.filters.set(this.key(place), select.value); this.changed(); });
      this.selects.set(this.key(place), select);
      tools.append(make("label", {}, head.textContent, select));
    }
    this.boxes = new Map();
    const choices = make("div");
    for (const [place, head] of this.heads.entries()) {
      if (!place) continue;
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => { this.hidden[box.checked ? "delete" : "add"](this.key(place)); this.changed(); });
      this.boxes.set(this.key(place), box);
      choices.append(make("label", {}, box, head.textContent));
    }
    const columns = make("details", {}, make("summary", {}, "Columns"), choices);
    columns.addEventListener("keydown", (event) => { if (event.key === "Escape") { columns.open = false; columns.firstChild.focus(); } });
    const save = make("button", { type: "button", class: "save" }, "Download CSV");
    save.addEventListener("click", () => this.save());
    this.count = make("output");
    tools.append(columns, save, this.count);
    this.meaning = make("p", { class: "meaning", "aria-hidden": "true" }, "Point at a column's name, or move to it by keyboard, to read what it means. A click sorts.");
    this.element.closest(".part").prepend(tools, this.meaning);
  }

  explain(id) {
    const about = document.getElementById(id);
    if (about && this.meaning) this.meaning.textContent = `${about.previousElementSibling.textContent}: ${about.textContent}`;
  }

  toggleSort(place) {
    const again = this.sort && this.sort.key === this.key(place);
    const numbers = this.rows.some((row) => typeof value(row.cells[place]) === "number");
    this.sort = { key: this.key(place), up: again ? !this.sort.up : !numbers };
    this.changed();
  }

  show() {
    if (this.sort) {
      const place = this.place(this.sort.key), sign = this.sort.up ? 1 : -1;
      const ranked = this.rows.map((row) => [value(row.cells[place]), row]);
      ranked.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
      });
      this.body.append(...ranked.map(([, row]) => row));
    } else if (this.moved) this.body.append(...this.rows);
    this.moved = Boolean(this.sort);
    for (const head of this.heads) head.removeAttribute("aria-sort");
    if (this.sort) this.heads[this.place(this.sort.key)].setAttribute("aria-sort", this.sort.up ? "ascending" : "descending");
    const wanted = [...this.filters].filter(([, text]) => text).map(([key, text]) => [this.place(key), text]);
    const query = this.query.toLowerCase();
    let shown = 0;
    for (const row of this.rows) {
      const hidden = wanted.some(([place, text]) => row.cells[place].textContent !== text) || Boolean(query && !row.textContent.toLowerCase().includes(query));
      if (row.hidden !== hidden) row.hidden = hidden;
      shown += !hidden;
    }
    for (const [place, head] of this.heads.entries()) {
      const hidden = this.hidden.has(this.key(place));
      if (head.hidden !== hidden) for (const row of [this.element.tHead.rows[0], ...this.rows]) row.cells[place].hidden = hidden;
    }
    if (this.count) this.count.textContent = shown === this.rows.length ? `${shown} rows` : `${shown} of ${this.rows.length} rows`;
  }

  read(state) {
    const [, key, direction] = /^(.*)-(asc|desc)$/.exec(state.get(`${this.id}.sort`) || "") || [];
    this.sort = key && this.place(key) >= 0 ? { key, up: direction === "asc" } : null;
    this.query = state.get(`${this.id}.search`) || "";
    this.hidden = new Set((state.get(`${this.id}.hide`) || "").split(",").filter((name) => this.place(name) > 0));
    if (this.search) {
      this.search.value = this.query;
      for (const [name, box] of this.boxes) box.checked = !this.hidden.has(name);
      for (const [name, select] of this.selects) {
        select.value = state.get(`${this.id}.${name}`) || "";
        this.filters.set(name, select.value);
      }
    }
    this.show();
  }

  write(state) {
    const entries = [...this.filters, ["search", this.query], ["hide", [...this.hidden].join(",")], ["sort", this.sort ? `${this.sort.key}-${this.sort.up ? "asc" : "desc"}` : ""]];
    for (const [name, text] of entries) if (text) state.set(`${this.id}.${name}`, text);
  }

  changed() {
    this.show();
    const state = new URLSearchParams();
    for (const table of tables) table.write(state);
    history.replaceState(null, "", `${location.pathname}${String(state) ? `#${state}` : ""}`);
  }

  save() {
    const quote = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    const shown = [this.element.tHead.rows[0], ...this.body.rows].filter((row) => !row.hidden);
    const lines = shown.map((row) => [...row.cells].filter((cell) => !cell.hidden).map((cell) => quote([...cell.childNodes].map((node) => node.textContent).join(" ").trim())).join(","));
    const link = make("a", { download: `${this.element.dataset.file}.csv`, href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}

function readAddress() {
  const state = address();
  for (const table of tables) table.read(state);
  const first = tables.find((table) => [...state.keys()].some((key) => key.startsWith(`${table.id}.`)));
  if (first) document.getElementById(`part-${first.id}`)?.scrollIntoView();
}

for (const element of document.querySelectorAll("table.data")) tables.push(new Table(element));
readAddress();
addEventListener("hashchange", readAddress);
