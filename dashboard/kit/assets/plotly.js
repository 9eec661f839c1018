// Plotly of the installed Python package: five megabytes, loaded once a page and only when something is to be drawn.
// An address that always draws has named the script in its head (dashboard/index_page.py): it is on its way then.

let plotly = null;

/** Returns a promise of Plotly from `address`; after a failure the next call tries again. */
export function loadPlotly(address) {
  plotly ??= window.Plotly ? Promise.resolve(window.Plotly) : arrival(named() ?? ordered(address));
  return plotly;
}

const named = () => document.querySelector("script[data-sm3-plotly]");

function ordered(address) {
  const script = document.createElement("script");
  script.src = address;
  document.head.append(script);
  return script;
}

function arrival(script) {
  return new Promise((resolve, reject) => {
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      plotly = null;
      script.remove();
      reject(new Error(`could not load ${script.src}`));
    });
  });
}
