const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const filled = (element, parts) => { element.append(...parts); return element; };
const make = (tag, given, ...parts) => filled(Object.assign(document.createElement(tag), given), parts);
const button = (text, onclick, className = "") => make("button", { type: "button", onclick, className }, text);

const theme = document.documentElement.dataset, dark = matchMedia("(prefers-color-scheme: dark)");
const turn = () => { theme.theme = (theme.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark"; };
document.querySelector("header").append(button("Light or dark", turn, "theme"));

const texts = new Intl.Collator(undefined, { numeric: true });
function sort(head) {
  const body = head.closest("table").tBodies[0], numeric = head.classList.contains("number");
  const rising = head.ariaSort ? head.ariaSort === "descending" : !numeric;
  const value = (cell) => (numeric ? parseFloat(cell.dataset.value ?? cell.textContent) : cell.textContent);
  const keys = [...body.rows].map((row) => [value(row.cells[head.cellIndex]), row]);
  const order = numeric ? (a, b) => a - b : texts.compare;
  const compare = ([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || (rising ? order(a, b) : order(b, a)) || 0;
  body.append(...keys.sort(compare).map(([, row]) => row));
  for (const other of head.parentElement.cells) other.ariaSort = null;
  head.ariaSort = rising ? "ascending" : "descending";
}

function addTools(table) {
  const rows = [...table.tBodies[0].rows], count = make("output"), filter = make("input", { type: "search" });
  const tell = () => {
    const left = rows.filter((row) => !row.hidden).length, most = table.classList.contains("folded") ? 50 : Infinity;
    count.textContent = `${Math.min(left, most)} of ${rows.length} rows`;
  };
  const fold = () => { more.textContent = table.classList.toggle("folded") ? "Show all rows" : "Show fewer rows"; };
  const more = button("", () => { fold(); tell(); });
  filter.oninput = () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    tell();
  };
  const tools = make("div", { className: "tools" }, make("label", {}, "Rows with ", filter), count);
  if (rows.length > 50) { tools.append(more); more.click(); } else tell();
  table.closest(".table").prepend(tools);
}
for (const table of all("table:not(.facts)")) {
  for (const head of table.tHead.rows[0].cells) head.replaceChildren(button(head.textContent, () => sort(head)));
  if (table.tBodies[0].rows.length > 10) addTools(table);
}

function showPictures({ dataset: { tag, cell } }, box) {
  const items = all(".gallery li", box);
  const choose = (wanted) => items.filter((item) => !(item.hidden = !wanted(` ${item.dataset.tags} `))).length;
  const found = choose((tags) => tags.includes(` ${tag} `));
  const back = button("Show all pictures", () => { choose(() => true); said.remove(); });
  const text = `${cell}: ${found} of ${items.length} pictures`;
  const said = make("div", { className: "tools" }, make("output", {}, text), back);
  box.querySelector(".tools")?.remove();
  box.querySelector("summary").after(said);
  box.open = true;
  box.scrollIntoView({ block: "nearest" });
}
for (const box of all(".pictures")) {
  for (const cell of all("[data-tag]", box.closest("section"))) {
    const show = button(cell.textContent, () => showPictures(cell, box));
    show.ariaLabel = `${cell.textContent}, show the pictures: ${cell.dataset.cell}`;
    if (cell.closest("svg")) cell.onclick = show.onclick;
    else cell.replaceChildren(show);
  }
}

const tip = document.body.appendChild(make("div", { className: "tip", hidden: true, role: "status" }));
function point(mark) {
  document.querySelector("svg .now")?.classList.remove("now");
  if ((tip.hidden = !mark)) return;
  mark.dataset.said ??= mark.querySelector("title").textContent;
  mark.querySelector("title")?.remove(); // or the browser shows it too
  tip.textContent = mark.dataset.said;
  mark.classList.add("now");
  const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(at.left + at.width / 2 - own.width / 2, innerWidth - own.width - 4))}px`;
  tip.style.top = `${at.top > own.height + 8 ? at.top - own.height - 8 : at.bottom + 8}px`;
}
for (const plot of all(".drawing svg")) {
  const marks = all(".mark", plot), steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  let place;
  plot.tabIndex = 0;
  plot.onpointermove = (event) => point(event.target.closest(".mark"));
  plot.onpointerleave = plot.onblur = () => point(null);
  plot.onkeydown = (event) => {
    if (event.key === "Enter") marks[place]?.onclick?.();
    if (event.key === "Escape") point(null);
    if (!(event.key in steps) || !marks.length) return;
    event.preventDefault();
    place = place === undefined ? 0 : (place + steps[event.key] + marks.length) % marks.length;
    point(marks[place]);
  };
}

for (const plot of all(".plot:has([data-of])")) {
  const legends = all("[data-colouring]", plot), dots = all("[data-of]", plot);
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
