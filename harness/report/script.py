"""The one script of ``report.html``, which the page is whole without.

Headers of tables become buttons that sort, long tables get a field that filters their rows, and a
link to a folded section opens it. It reads text and writes none that it did not read.
"""

SCRIPT = """"use strict";
const number = text => parseFloat(text.replaceAll(",", "").replace("−", "-"));
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a.localeCompare(b);
  return x - y;
};
for (const table of document.querySelectorAll(".scroll > table")) {
  const rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells];
  if (rows.length < 3) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const text = row => row.cells[column].textContent;
      const last = row => /^\\W*$/.test(text(row));
      rows.sort((a, b) => last(a) - last(b) || (up ? 1 : -1) * compare(text(a), text(b)));
      table.tBodies[0].append(...rows);
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    };
  });
  if (rows.length < 9) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = field.ariaLabel = "Filter rows";
  field.oninput = () => rows.forEach(row => {
    row.hidden = !row.textContent.toLowerCase().includes(field.value.toLowerCase());
  });
  table.parentNode.before(field);
}
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", reveal);
reveal();
"""
