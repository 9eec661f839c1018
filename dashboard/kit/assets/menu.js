// What every chart offers: its numbers as a table and as CSV, its picture as PNG.

import { h } from "./dom.js";
import { csv, savePng, saveText } from "./export.js";

export class ChartMenu {
  /**
   * `table()` returns {columns, rows}; `picture()` {Plotly, plot, title, theme} and perhaps other {data}, or null where
   * there is nothing to be drawn; `toggled(shown)` shows the table instead of the chart. `name` is that of the files.
   */
  constructor({ name, table, picture, toggled }) {
    this.shown = false;
    this.view = chip("table", "Show the numbers instead of the picture", () => {
      this.show(!this.shown);
      toggled(this.shown);
    });
    this.csv = chip("CSV", "Save the numbers", () => saveText(`${fileName(name())}.csv`, csv(table())));
    this.png = chip("PNG", "Save the picture", () => {
      const now = picture();
      if (now) savePng(now.Plotly, now.plot, { ...now, name: fileName(name()) });
    });
    this.element = h("span", { class: "sm3-menu", role: "group", "aria-label": "Table and export" }, this.view, this.csv, this.png);
    this.show(false);
  }

  /** Marks whether the table is shown. */
  show(shown) {
    this.shown = shown;
    this.view.setAttribute("aria-pressed", String(shown));
    this.png.disabled = shown; // it keeps its place, so that the others keep theirs
    this.png.style.visibility = shown ? "hidden" : "";
  }
}

const fileName = (name) => name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 120);

function chip(text, title, onclick) {
  return h("button", { type: "button", class: "sm3-chip", title, "aria-label": `${title} (${text})`, onclick }, text);
}
