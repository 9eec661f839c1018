// Elements without innerHTML: names from a job only ever become text nodes.

/** Returns a new element; `props` are properties, except class, dataset, style and attributes with a dash or `role`. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset" || name === "style") Object.assign(element[name], value);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets an element's text, and touches the page only when it differs. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets what a control without words of its own is called, as its tip and for whoever cannot see it. */
export function caption(control, text) {
  if (control.title === text) return;
  control.title = text;
  control.setAttribute("aria-label", text);
}

/**
 * Returns a component's clean-up function: it runs `clean` only once `parent` has left the page.
 *
 * Streamlit 1.67 also calls the clean-up of a call that a newer one overtook while its module was loading, though
 * the element stays; the view has to outlive that.
 */
export function whenGone(parent, clean) {
  return () => setTimeout(() => {
    if (!parent.isConnected) clean();
  });
}
