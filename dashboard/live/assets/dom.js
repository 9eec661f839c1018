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
