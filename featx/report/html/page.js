const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, properties, ...parts) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...parts);
  return made;
};
const button = (text, act) => make("button", { type: "button", onclick: act }, text);

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = button("Light or dark", () => {
  root.dataset.theme = (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
});
theme.className = "theme";
document.querySelector("header").append(theme);

function sort(table, head) {
  const place = head.cellIndex, numeric = head.classList.contains("number");
  const next = { none: numeric ? "descending" : "ascending", ascending: "descending", descending: "ascending" };
  const order = next[head.ariaSort ?? "none"], sign = order === "ascending" ? 1 : -1;
  const texts = new Intl.Collator(undefined, { numeric: true });
  const value = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const keys = [...table.tBodies[0].rows].map((row) => [numeric ? parseFloat(value(row)) : value(row), row]);
  const compare = ([a], [b]) => numeric
    ? Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0
    : sign * texts.compare(a, b);
  table.tBodies[0].append(...keys.sort(compare).map(([, row]) => row));
  for (const other of head.parentElement.cells) other.ariaSort = other === head ? order : "none";
}

function addTools(table) {
  const rows = [...table.tBodies[0].rows], tools = make("div", { className: "tools" });
  const seen = make("output");
  const tell = () => {
    const left = rows.filter((row) => !row.hidden).length;
    const shown = table.classList.contains("folded") ? Math.min(left, 50) : left;
    seen.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  };
  const filter = make("input", { type: "search", placeholder: "words in a row" });
  filter.oninput = () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    tell();
  };
  tools.append(make("label", {}, "Filter ", filter), seen);
  if (rows.length > 50) {
    table.classList.add("folded");
    const more = button("Show all rows", () => {
      more.textContent = table.classList.toggle("folded") ? "Show all rows" : "Show 50 rows";
      tell();
    });
    tools.append(more);
  }
  tell();
  table.closest(".table").prepend(tools);
}

for (const table of all("table:not(.facts)")) {
  if (table.tBodies[0].rows.length > 1)
    for (const head of table.tHead.rows[0].cells)
      head.replaceChildren(button(head.textContent, () => sort(table, head)));
  if (table.tBodies[0].rows.length > 10) addTools(table);
}

function showPictures(from) {
  const box = from.closest("section").querySelector(".pictures"), items = all(".gallery li", box);
  const wanted = from.dataset.tag;
  for (const item of items) item.hidden = !(item.dataset.tags ?? "").split(" ").includes(wanted);
  box.querySelector(".tools")?.remove();
  const count = items.filter((item) => !item.hidden).length;
  const back = button("Show all pictures", () => {
    for (const item of items) item.hidden = false;
    back.parentElement.remove();
  });
  const said = make("output", {}, `${from.dataset.cell ?? ""}: ${count} of ${items.length} pictures`);
  box.querySelector("summary").after(make("div", { className: "tools" }, said, back));
  box.open = true;
  box.scrollIntoView({ block: "nearest" });
}
for (const cell of all("td[data-tag]")) {
  const show = button(cell.textContent, () => showPictures(cell));
  show.ariaLabel = `${cell.textContent}, show the pictures: ${cell.dataset.cell}`;
  cell.replaceChildren(show);
}

const tip = make("div", { className: "tip", hidden: true, role: "status" });
document.body.append(tip);
function point(mark) {
  all("svg .now").forEach((other) => other.classList.remove("now"));
  tip.hidden = !mark;
  if (!mark) return;
  const title = mark.querySelector("title");
  if (title) mark.dataset.said = title.textContent;
  title?.remove();
  mark.classList.add("now");
  tip.textContent = mark.dataset.said;
  const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(at.left + at.width / 2 - own.width / 2, innerWidth - own.width - 4))}px`;
  tip.style.top = `${at.top > own.height + 8 ? at.top - own.height - 8 : at.bottom + 8}px`;
}
for (const plot of all(".drawing svg")) {
  const marks = all(".mark", plot);
  plot.tabIndex = 0;
  let place = -1;
  plot.onpointerover = (event) => point(event.target.closest(".mark"));
  plot.onpointerleave = plot.onblur = () => point(null);
  plot.onclick = (event) => { const cell = event.target.closest("[data-tag]"); if (cell) showPictures(cell); };
  plot.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && marks.length) {
      event.preventDefault();
      place = (place + step + marks.length) % marks.length;
      point(marks[place]);
    } else if (event.key === "Escape") point(null);
    else if (event.key === "Enter" && marks[place]?.dataset.tag) showPictures(marks[place]);
  };
}

for (const plot of all(".plot")) {
  const legends = all(".legend[data-colouring]", plot), dots = all("[data-of]", plot);
  if (legends.length < 2) continue;
  const select = make("select", {}, ...legends.map((one, place) => new Option(one.dataset.colouring, place)));
  select.onchange = () => {
    legends.forEach((one, place) => one.setAttribute("display", place === Number(select.value) ? "inline" : "none"));
    for (const dot of dots) {
      const style = Number(dot.dataset.of.split(" ")[select.value]);
      dot.setAttribute("class", `mark ${style < 12 ? `f${style % 7}` : "others"}`);
      dot.setAttribute("href", dot.getAttribute("href").replace(/\d+$/, style % 6));
    }
  };
  plot.prepend(make("div", { className: "tools" }, make("label", {}, "Colours show ", select)));
}
addEventListener("beforeprint", () => { for (const box of all("details")) box.open = true; });
