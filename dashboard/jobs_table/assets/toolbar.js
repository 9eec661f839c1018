// The filters of the list. Each is a value in the address; the service does the filtering.

import { h } from "../kit/dom.js";

const TYPED_AFTER_MS = 400;

export class Toolbar {
  /** `view(changes)` asks for other values in the address. */
  constructor(view) {
    const narrow = (changes) => view({ ...changes, after: "" });
    this.narrow = narrow;
    this.launch = h("button", { type: "button", class: "sm3-button sm3-primary", onclick: () => view({ launch: "1", job: "", clone: "", tab: "" }) }, "Launch a job");
    this.search = h("input", { type: "search", class: "sm3-search", placeholder: "find in id, recipe, labels, notes", "aria-label": "Find jobs", oninput: () => this.#typed() });
    this.states = h("div", { class: "sm3-states", role: "group", "aria-label": "State" });
    this.recipe = h("select", { class: "sm3-select", "aria-label": "Recipe", onchange: () => narrow({ recipe: this.recipe.value }) });
    this.label = h("select", { class: "sm3-select", "aria-label": "Label", onchange: () => narrow({ label: [...this.labels, this.label.value].join() }) });
    this.group = h("select", { class: "sm3-select", "aria-label": "Group by", onchange: () => view({ group: this.group.value }) });
    this.chosen = h("div", { class: "sm3-chosen" });
    this.element = h("div", { class: "sm3-toolbar", role: "search" }, this.search, this.states, this.recipe, this.label, this.group, this.chosen);
  }

  /** Shows what can be asked for, and what is; a value that is still on its way (`waits`) is left as it is. */
  draw({ query, choices, mayLaunch }, waits) {
    this.launch.hidden = !mayLaunch;
    this.labels = query.label;
    this.#states(choices.states, query.state);
    options(this.recipe, [["", "all recipes"], ...choices.recipes.map((name) => [name, name])], query.recipe, waits);
    options(this.label, [["", "any label"], ...choices.labels.filter((label) => !query.label.includes(label)).map((label) => [label, label])], "", waits);
    options(this.group, [["", "not grouped"], ...choices.groups.map((name) => [name, `by ${name}`])], query.group, waits);
    if (!waits && document.activeElement !== this.search) this.search.value = query.q;
    this.#chosen(query);
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.narrow({ q: this.search.value.trim() }), TYPED_AFTER_MS);
  }

  #states(names, chosen) {
    if (!this.states.children.length) {
      this.states.append(...names.map((name) => h("button", { type: "button", class: "sm3-chip", dataset: { state: name }, onclick: (event) => this.#toggle(event.target) }, name)));
    }
    for (const chip of this.states.children) chip.setAttribute("aria-pressed", String(chosen.includes(chip.dataset.state)));
  }

  #toggle(chip) {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    const chosen = [...this.states.children].filter((one) => one.getAttribute("aria-pressed") === "true");
    this.narrow({ state: chosen.map((one) => one.dataset.state).join() });
  }

  /** Shows the filters that have no place of their own, each to be taken away. */
  #chosen(query) {
    const filters = query.label.map((label) => ({ text: label, changes: { label: query.label.filter((other) => other !== label).join() } }));
    if (query.comparison) filters.push({ text: `comparison …${query.comparison.slice(-4)}`, changes: { comparison: "" } });
    const key = JSON.stringify(filters);
    if (key === this.drawn) return;
    this.drawn = key;
    this.chosen.replaceChildren(...filters.map(({ text, changes }) =>
      h("button", { type: "button", class: "sm3-chip", "aria-pressed": "true", "aria-label": `Take away the filter ${text}`, onclick: () => this.narrow(changes) }, `${text} ✕`)));
  }
}

/** Fills a select with [value, text] pairs, and touches it only where something differs; an open one stays as it is. */
function options(select, pairs, value, waits) {
  const key = JSON.stringify(pairs);
  if (select.dataset.key !== key && document.activeElement !== select) {
    select.dataset.key = key;
    select.replaceChildren(...pairs.map(([name, text]) => h("option", { value: name }, text)));
  }
  if (!waits && select.value !== value) select.value = value;
}
