// A table of numbers: what a chart shows, to be read, sorted and searched. Rows are drawn up to a limit.

import { h, say } from "./dom.js";
import { bytes, count, percent, reading, signed } from "./words.js";

const MAX_ROWS = 500;
const FEW_ROWS = 8; // are seen at a glance: no search above them
const FORMATS = { text: (x) => String(x), integer: count, number: reading, signed, bytes, percent };

/** Returns a cell's text; null is an empty cell. */
export function cellText(kind, value) {
  if (typeof value === "string") return value; // of a number too: NaN and infinities come as words
  return value === null || value === undefined ? "–" : FORMATS[kind ?? "text"](value);
}

export class Sheet {
  /** `picked(id)` is told of a row that was pressed, where rows have ids. */
  constructor({ search = false, picked = null } = {}) {
    this.picked = picked;
    this.canSearch = search;
    this.order = null; // {column, down}
    this.search = h("input", { type: "search", class: "sm3-search", placeholder: "find", "aria-label": "Find in the table", hidden: !search, oninput: () => this.#fill() });
    this.head = h("tr");
    this.body = h("tbody");
    this.note = h("p", { class: "sm3-about" });
    const table = h("table", {}, h("thead", {}, this.head), this.body);
    this.scroll = h("div", { class: "sm3-sheetscroll", tabIndex: 0, role: "region", "aria-label": "Table" }, table);
    this.element = h("div", { class: "sm3-sheet" }, this.search, this.scroll, this.note);
  }

  /** Shows `{columns: [{name, unit, kind}], rows, ids}`; kind is text, integer, number, signed, bytes or percent. */
  draw(table) {
    const key = JSON.stringify(table);
    if (key === this.drawn) return;
    this.drawn = key;
    this.table = table;
    this.#fill();
  }

  #fill() {
    const { columns, rows, ids } = this.table;
    this.head.replaceChildren(...columns.map((column, i) => this.#heading(column, i)));
    this.search.hidden = !this.canSearch || (rows.length <= FEW_ROWS && !this.search.value);
    const wanted = this.search.value.trim().toLowerCase();
    let shown = rows.map((row, i) => ({ row, id: ids?.[i] }));
    if (wanted) shown = shown.filter(({ row }) => row.some((value, i) => cellText(columns[i].kind, value).toLowerCase().includes(wanted)));
    if (this.order) shown.sort((a, b) => this.#compare(a.row, b.row));
    const hidden = Math.max(0, shown.length - MAX_ROWS);
    this.body.replaceChildren(...shown.slice(0, MAX_ROWS).map((entry) => this.#row(entry)));
    say(this.note, hidden ? `${count(hidden)} more rows are in the CSV.` : shown.length ? "" : "No row matches.");
    this.note.hidden = !this.note.textContent;
  }

  #heading({ name, unit, kind }, i) {
    const sorted = this.order?.column === i ? (this.order.down ? "descending" : "ascending") : "none";
    const arrow = { none: "", ascending: " ▲", descending: " ▼" }[sorted];
    const button = h("button", { type: "button", class: "sm3-sort", onclick: () => this.#sort(i) }, `${unit && kind !== "bytes" ? `${name}, ${unit}` : name}${arrow}`);
    return h("th", { scope: "col", class: kind && kind !== "text" ? "sm3-right" : "", "aria-sort": sorted }, button);
  }

  #row({ row, id }) {
    const { columns } = this.table;
    const cells = row.map((value, i) => {
      const { kind } = columns[i];
      const text = cellText(kind, value);
      const opens = i === 0 && id !== undefined && this.picked;
      return h("td", { class: kind && kind !== "text" ? "sm3-right" : "", title: text },
        opens ? h("button", { type: "button", class: "sm3-open", onclick: () => this.picked(id) }, text) : text);
    });
    return h("tr", {}, ...cells);
  }

  #sort(column) {
    const numeric = (this.table.columns[column].kind ?? "text") !== "text";
    const same = this.order?.column === column;
    this.order = { column, down: same ? !this.order.down : numeric };
    this.#fill();
  }

  #compare(a, b) {
    const { column, down } = this.order;
    const [x, y] = [a[column], b[column]];
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1; // words behind numbers
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -order : order;
  }
}
