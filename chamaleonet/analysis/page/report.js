"use strict";
// The page is whole without this: it adds pointing at charts, sorting, filtering and the theme.

const root = document.documentElement;

// Theme: the reader's system decides, until the button does.
const theme = document.getElementById("theme");
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);
const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
systemIsDark.addEventListener("change", showTheme);
showTheme();

// The page holds the whole report.
const save = document.getElementById("save");
save.hidden = false;
save.addEventListener("click", () => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const blob = new Blob([JSON.stringify(report, null, 1)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "report.json";
  link.click();
  URL.revokeObjectURL(link.href);
});

// Charts: the value nearest to the pointer tells what it is; arrow keys go from one to the next.
const tip = document.getElementById("tip");
const NEAR = 40; // pixels
let told = null; // the mark that the tip is of

function place() {
  const box = told.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y];
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(x - width / 2, 6), root.clientWidth - width - 6);
  tip.style.left = `${left}px`;
  tip.style.top = `${y - height - 12 > 0 ? y - height - 12 : y + 16}px`;
}

function equip(svg) {
  const marks = [...svg.querySelectorAll(".mark")];
  if (!marks.length) return;
  // What the browser would show after a while, this shows at once.
  const tips = marks.map((mark) => {
    const title = mark.querySelector("title");
    title.remove();
    return title.textContent;
  });
  let at = -1;

  function show(index) {
    if (at >= 0) marks[at].classList.remove("at");
    at = index;
    told = at < 0 ? null : marks[at];
    if (!told) {
      tip.hidden = true;
      return;
    }
    told.classList.add("at");
    tip.textContent = tips[at];
    place();
  }

  function nearest(x, y) {
    let best = -1;
    let least = NEAR * NEAR;
    marks.forEach((mark, index) => {
      const box = mark.getBoundingClientRect();
      const dx = Math.max(box.left - x, 0, x - box.right);
      const dy = Math.max(box.top - y, 0, y - box.bottom);
      const distance = dx * dx + dy * dy;
      if (distance < least) {
        best = index;
        least = distance;
      }
    });
    return best;
  }

  svg.addEventListener("pointermove", (event) => {
    const index = nearest(event.clientX, event.clientY);
    if (index !== at || index < 0) show(index);
  });
  svg.addEventListener("pointerleave", () => show(-1));
  svg.addEventListener("blur", () => show(-1));
  svg.addEventListener("keydown", (event) => {
    const last = marks.length - 1;
    const next = {
      ArrowRight: Math.min(at + 1, last),
      ArrowDown: Math.min(at + 1, last),
      ArrowLeft: Math.max(at - 1, 0),
      ArrowUp: Math.max(at - 1, 0),
      Home: 0,
      End: last,
      Escape: -1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
  });
}
document.querySelectorAll("svg").forEach(equip);
addEventListener("scroll", () => told && place(), { passive: true });

// Tables: click a header to sort, type to filter.
const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.key ?? cell.textContent;
};
const collator = new Intl.Collator("en", { numeric: true });

function compare(a, b, numeric) {
  if (a === "" || b === "") return null;
  return numeric ? a - b : collator.compare(a, b);
}

function sort(table, column, direction) {
  const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
  keyed.sort(([a], [b]) => {
    const order = compare(a, b, numeric);
    // Nothing there comes last, whatever the direction.
    return order === null ? (a === "") - (b === "") : sign * order;
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

function sortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    // No button element: headers that a printer repeats on each page would lose it.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    });
    button.addEventListener("click", () => {
      const first = header.classList.contains("n") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const direction = header.getAttribute("aria-sort") === first ? other : first;
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction);
      sort(table, column, direction);
    });
  });
}

const MANY = 10; // rows that are worth a filter

function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= MANY) return;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const left = document.createElement("span");
  label.className = "filter";
  input.type = "search";
  left.setAttribute("aria-live", "polite");
  input.setAttribute("aria-label", `Filter: ${table.caption.firstChild.textContent}`);
  label.append("Filter ", input, " ", left);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row) => {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    });
    left.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
  table.parentElement.before(label);
}
document.querySelectorAll(".grid table").forEach((table) => {
  sortable(table);
  filterable(table);
  if (table.parentElement.scrollHeight > table.parentElement.clientHeight)
    table.parentElement.tabIndex = 0; // so that keys scroll it
});

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
