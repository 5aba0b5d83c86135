// Lets the reader sort a table by a column: upwards, downwards, and as it was.
"use strict";
(() => {
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  // Numbers by their size, words by the alphabet; a cell without a number comes last either way.
  function compare(a, b, direction) {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    const order = typeof a.value === "number" ? a.value - b.value : a.value.localeCompare(b.value);
    return direction * order;
  }

  function sort(table, column, state) {
    const body = table.tBodies[0];
    const numeric = !table.tHead.rows[0].cells[column].classList.contains("text");
    const rows = table.original.map((row) => {
      const cell = row.cells[column];
      if (numeric) return { row, value: "value" in cell.dataset ? Number(cell.dataset.value) : null };
      return { row, value: cell.textContent.trim() || null };
    });
    if (state !== "none") rows.sort((a, b) => compare(a, b, state === "ascending" ? 1 : -1));
    body.append(...rows.map(({ row }) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    table.original = [...table.tBodies[0].rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const state = NEXT[head.getAttribute("aria-sort") ?? "none"];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (state !== "none") head.setAttribute("aria-sort", state);
        sort(table, column, state);
      });
    });
  }
})();
