"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const records = JSON.parse(document.getElementById("data").textContent);
for (const element of all("[data-script]")) element.hidden = false;

// Sort the bodies of methods by the clicked column: numbers by size, blanks last.  Controls stay where they are.
for (const table of all("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const body of all("tbody.ranked", table)) {
      const value = row => row.cells[column].dataset.value ?? "";
      body.append(...[...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return descending ? -order : order;
      }));
    }
  }));
}

// Filter rows by data set, method and track, and columns by metric.
const filters = document.querySelector("form.filters");
const results = document.querySelector("#results table");
const chosen = name => new Set(all(`input[name=${name}]:checked`, filters).map(input => input.value));
const keeps = kept => record =>
  kept.dataset.has(record.dataset) && kept.method.has(record.method) && kept.track.has(record.track);
function filter() {
  const kept = Object.fromEntries(["dataset", "method", "track", "metric"].map(name => [name, chosen(name)]));
  const rows = all("tr[data-method]", results);
  rows.forEach(row => { row.hidden = !keeps(kept)(row.dataset); });
  all("tbody.title", results).forEach(body => { body.hidden = !kept.dataset.has(body.dataset.dataset); });
  all("[data-metric]", results).forEach(cell => { cell.hidden = !kept.metric.has(cell.dataset.metric); });
  const shown = rows.filter(row => !row.hidden).length;
  document.getElementById("count").textContent = `${shown} of ${rows.length} rows`;
  return kept;
}
filters.addEventListener("change", filter);
filters.addEventListener("reset", () => setTimeout(filter));
filter();

// Export what is shown, with all digits.
function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const field = value => {
  const text = value === null ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
for (const button of all("button[data-export]")) button.addEventListener("click", () => {
  const kept = filter();
  const shown = records.filter(record => keeps(kept)(record) && kept.metric.has(record.metric));
  const name = `${document.body.dataset.preset}.${button.dataset.export}`;
  if (button.dataset.export === "json") return download(name, "application/json", JSON.stringify(shown, null, 1));
  const keys = Object.keys(records[0]);
  const lines = [keys, ...shown.map(record => keys.map(key => record[key]))];
  download(name, "text/csv", lines.map(line => line.map(field).join(",")).join("\n") + "\n");
});
for (const button of all("button[data-copy]")) button.addEventListener("click", async () => {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // pages opened from a file may not write to the clipboard
  }
});

// Samples: their order, and one of them enlarged.
const samples = document.getElementById("samples");
document.getElementById("order")?.addEventListener("change", event => {
  const copied = event.target.value === "copied";
  samples.classList.toggle("copied", copied);
  if (copied) document.getElementById("beside").checked = true;
  const key = copied ? button => Number(button.dataset.ratio || Infinity) : button => Number(button.dataset.place);
  for (const sheet of all(".sheet", samples)) {
    sheet.append(...all("button", sheet).sort((a, b) => key(a) - key(b)));
  }
});
document.getElementById("shown")?.addEventListener("change", event => {
  for (const gallery of all(".gallery", samples)) {
    gallery.hidden = event.target.value !== "" && gallery.dataset.dataset !== event.target.value;
  }
});
const zoom = document.getElementById("zoom");
let current = null;
function show(button) {
  current = button;
  const tiles = all(".tile", button).map(tile => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = tile.classList.contains("near") ? "Nearest training image" : "Sample";
    figure.append(tile.cloneNode(), caption);
    return figure;
  });
  zoom.querySelector(".both").replaceChildren(...tiles);
  zoom.querySelector("h3").textContent = button.closest("article").querySelector("h4").textContent;
  zoom.querySelector("p").textContent = button.getAttribute("aria-label");
  if (!zoom.open) zoom.showModal();
}
function step(by) {
  const shown = all("button", current.parentElement).filter(button => button.offsetParent !== null);
  show(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
}
samples.addEventListener("click", event => {
  const button = event.target.closest(".sheet button");
  if (button) show(button);
});
zoom.addEventListener("keydown", event => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
zoom.addEventListener("close", () => current.focus());
for (const button of all("button[data-step]", zoom)) button.addEventListener("click", () => step(Number(button.dataset.step)));

// Charts; vega-embed makes their menus.
for (const source of all("script.specification")) {
  const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  const chart = source.previousElementSibling;
  vegaEmbed(chart, JSON.parse(source.textContent), options)
    .then(() => chart.querySelector("summary").setAttribute("aria-label", "Save this chart"));
}
