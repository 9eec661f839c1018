// The head of a lesson: the list of lessons, its one message, the question or its answer, controls and steps.

import { answered, asking } from "./asked.js";
import { h, whenGone } from "../kit/dom.js";

const heads = new WeakMap();

export default function head({ data, parentElement, setTriggerValue }) {
  let view = heads.get(parentElement);
  if (!view) {
    view = new Head();
    heads.set(parentElement, view);
    parentElement.append(view.element);
  }
  view.ask = setTriggerValue;
  answered();
  view.draw(data);
  return whenGone(parentElement, () => {
    view.destroy();
    view.element.remove();
    heads.delete(parentElement);
  });
}

/** Returns a text in which no line breaks between a number and its unit. */
const glued = (text) => text.replace(/(\d) (?=(%|[KMGT]?i?B|bits|×)(?![\p{L}\d]))/gu, "$1\u00a0");

class Head {
  constructor() {
    this.element = h("div", { class: "sm3 sm3-lesson" });
    this.keys = (event) => this.#key(event);
    document.addEventListener("keydown", this.keys);
  }

  destroy() {
    document.removeEventListener("keydown", this.keys);
  }

  /** Shows what Python says; see `dashboard.lesson.mount_head`. */
  draw(data) {
    const key = JSON.stringify({ ...data, module: "" });
    if (key === this.drawn) return;
    this.drawn = key;
    this.data = data;
    const focused = this.element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    Object.assign(this.element.dataset, { teacher: String(data.teacher), lesson: String(data.number), step: String(data.step) });
    const parts = [
      this.#lessons(),
      data.stale ? h("p", { class: "sm3-lessonstale", role: "status" }, `▲ ${data.stale}`) : null,
      h("div", { class: "sm3-lessonhead" }, h("h1", {}, glued(data.headline)), this.#steps()),
      h("p", { class: "sm3-lessontext" }, glued(data.text)),
      this.#question() ?? this.#verdict(),
      this.#bar(),
    ];
    this.element.replaceChildren(...parts.filter(Boolean));
    if (focused) this.element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #go(change) {
    this.ask("go", asking(change));
  }

  #lessons() {
    const { lessons, number, teacher } = this.data;
    const pills = lessons.map((title, i) =>
      h("button", {
        type: "button", class: "sm3-pill", dataset: { key: `lesson-${i + 1}` }, "aria-current": i + 1 === number ? "page" : null,
        onclick: () => this.#go({ lesson: String(i + 1), step: "1" }),
      }, h("b", {}, String(i + 1)), h("span", {}, title)),
    );
    const choose = h("select", { class: "sm3-select sm3-lessonselect", "aria-label": "Lesson", dataset: { key: "lessons" }, onchange: (event) => this.#go({ lesson: event.target.value, step: "1" }) },
      ...lessons.map((title, i) => h("option", { value: String(i + 1), selected: i + 1 === number }, `${i + 1} / ${lessons.length}  ${title}`)));
    const teach = h("button", {
      type: "button", class: "sm3-button", dataset: { key: "teacher" }, "aria-pressed": String(teacher),
      title: "Larger type; the arrow keys and a presenter's page keys go through the steps",
      onclick: () => this.#go({ teacher: teacher ? "" : "1" }),
    }, "Teacher’s mode");
    return h("nav", { class: "sm3-lessons", "aria-label": "Lessons" }, ...pills, choose, h("span", { class: "sm3-space" }), teach);
  }

  #question() {
    const { question, guess } = this.data;
    if (!question) return null;
    return h("section", { class: "sm3-ask", "aria-label": "Your guess" },
      h("p", {}, glued(question.text)),
      h("div", { class: "sm3-options", role: "group", "aria-label": "Answers" },
        ...question.options.map(({ key, label }) => h("button", {
          type: "button", class: "sm3-button sm3-option", dataset: { key: `guess-${key}` }, "aria-pressed": String(key === guess),
          onclick: () => this.#go({ guess: key, step: String(this.data.step + 1) }),
        }, label))),
    );
  }

  #verdict() {
    const verdict = this.data.verdict ?? { kind: "idea", text: this.data.idea };
    const glyph = { right: "✓", other: "→", none: "•", idea: "∴" }[verdict.kind];
    return h("p", { class: "sm3-verdict", dataset: { kind: verdict.kind }, role: "status" }, h("b", { "aria-hidden": "true" }, glyph), h("span", {}, glued(verdict.text)));
  }

  #bar() {
    return h("div", { class: "sm3-lessonbar" }, ...this.data.controls.map((control) => (control.is_slider ? this.#slider(control) : this.#choices(control))));
  }

  #choices({ name, label, options, value }) {
    return h("div", { class: "sm3-choice", role: "group", "aria-label": label },
      h("span", { class: "sm3-about" }, label),
      h("span", { class: "sm3-segments" }, ...options.map(([key, words]) => h("button", {
        type: "button", class: "sm3-segment", dataset: { key: `${name}-${key}` }, "aria-pressed": String(key === value), onclick: () => this.#go({ [name]: key }),
      }, words))));
  }

  #slider({ name, label, options, value }) {
    const at = options.findIndex(([key]) => key === value);
    const words = h("output", { class: "sm3-sliderwords" }, options[at][1]);
    const input = h("input", {
      type: "range", class: "sm3-slider", min: 0, max: options.length - 1, step: 1, value: at, dataset: { key: name },
      "aria-label": label, "aria-valuetext": options[at][1],
      oninput: (event) => { words.textContent = options[event.target.value][1]; event.target.setAttribute("aria-valuetext", words.textContent); },
      onchange: (event) => this.#go({ [name]: options[event.target.value][0] }),
    });
    return h("label", { class: "sm3-choice" }, h("span", { class: "sm3-about" }, label), input, words);
  }

  #steps() {
    const { steps, step, reveal, guess } = this.data;
    const unguessed = step === reveal - 1 && !guess;
    const dots = steps.map((name, i) => h("button", {
      type: "button", class: "sm3-stepdot", dataset: { key: `step-${i + 1}` }, "aria-current": i + 1 === step ? "step" : null, onclick: () => this.#go({ step: String(i + 1) }),
    }, name));
    return h("div", { class: "sm3-steps", role: "group", "aria-label": "Steps of the lesson" },
      h("button", { type: "button", class: "sm3-button", dataset: { key: "back" }, "aria-label": "Step back", onclick: () => this.#turn(-1) }, "◀"),
      ...dots,
      h("button", { type: "button", class: "sm3-button", dataset: { key: "on" }, "aria-label": unguessed ? "Show without a guess" : "Step on", title: unguessed ? "Show without a guess" : "", onclick: () => this.#turn(1) }, "▶"));
  }

  /** Goes a step on or back, and from the last step to the next lesson. */
  #turn(by) {
    const { step, steps, number, lessons } = this.data;
    const next = step + by;
    if (next >= 1 && next <= steps.length) this.#go({ step: String(next) });
    else if (number + by >= 1 && number + by <= lessons.length) this.#go({ lesson: String(number + by), step: "1" });
  }

  #key(event) {
    if (!this.data?.teacher || event.altKey || event.ctrlKey || event.metaKey) return;
    const by = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[event.key];
    const target = event.target instanceof Element ? event.target : null;
    if (!by || target?.closest("input, select, textarea, [role=grid], .sm3-sheet")) return;
    event.preventDefault();
    this.#turn(by);
  }
}
