// What of the view the page's address holds, so that a link shows the same; the rest of the address stays.

/** Returns the parameter `name`, or ''. */
export const read = (name) => new URL(location.href).searchParams.get(name) ?? "";

/** Writes parameters; null takes one out. */
export function write(parameters) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  if (url.href !== location.href) history.replaceState(history.state, "", url);
}

/** Remembers a choice until the tab is closed: Streamlit's own links to a page drop its parameters. */
export function remember(key, value) {
  try {
    sessionStorage.setItem(`sm3/${key}`, value);
  } catch {
    // a browser that keeps nothing: the address still does
  }
}

/** Returns what was remembered, or ''. */
export function recall(key) {
  try {
    return sessionStorage.getItem(`sm3/${key}`) ?? "";
  } catch {
    return "";
  }
}
