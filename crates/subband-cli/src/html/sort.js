"use strict";
// A click on a head sorts by its column: numbers by value, largest first, texts by letters; a second click turns it around.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.some((row) => row.cells[column].dataset.value !== undefined);
    const first = numbers ? "descending" : "ascending";
    const second = numbers ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    const number = (row) => Number(row.cells[column].dataset.value ?? "NaN");
    const text = (row) => row.cells[column].textContent;
    rows.sort((a, b) => {
      if (!numbers) return text(a).localeCompare(text(b), undefined, { numeric: true });
      const [x, y] = [number(a), number(b)];
      // What is no number stays last in both orders.
      if (Number.isNaN(x) || Number.isNaN(y)) return (Number.isNaN(x) - Number.isNaN(y)) * (order === "ascending" ? 1 : -1);
      return x - y;
    });
    if (order === "descending") rows.reverse();
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows);
  }));
}
