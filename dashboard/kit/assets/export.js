// What a chart gives away: its numbers as CSV, its picture as PNG.

/** Returns `{columns, rows}` as CSV (RFC 4180), numbers as they are, a unit in the column's name. */
export function csv({ columns, rows }) {
  const names = columns.map(({ name, unit }) => (unit ? `${name} (${unit})` : name));
  return [names, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

function field(value) {
  const text = value === null || value === undefined ? "" : String(value);
  // A leading =, + or @ would be a formula in a spreadsheet; names of tensors and labels come from users.
  const safe = typeof value === "string" && /^[=+@\t\r]|^-[^\d.]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Saves `text` as a file of the browser's. */
export function saveText(name, text, type = "text/csv") {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  saveAddress(name, address);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Saves the plot as it is seen, on the page's own background and with its title; `data` may hold more than it draws. */
export async function savePng(Plotly, plot, { name, title, theme, data = plot.data }) {
  const { width, height } = plot.getBoundingClientRect();
  const margin = plot.layout.margin ?? {};
  const layout = {
    ...plot.layout,
    width,
    height: height + 32,
    paper_bgcolor: theme.paper,
    margin: { ...margin, t: (margin.t ?? 0) + 32 },
    title: { text: markup(title), x: 0, xref: "container", xanchor: "left", y: 1, yanchor: "top", pad: { l: 8, t: 8 }, font: { size: 14, color: theme.text } },
  };
  const address = await Plotly.toImage({ data, layout, config: plot.config }, { format: "png", width, height: height + 32, scale: 2 });
  saveAddress(`${name}.png`, address);
}

/** Returns text that Plotly shows as it is: it reads some HTML in titles, and names come from users. */
const markup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function saveAddress(name, address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
