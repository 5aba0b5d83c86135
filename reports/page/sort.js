// Lets the reader sort a table by a column: upwards, downwards, and as it was.
"use strict";
(() => {
  const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

  // The number that a cell starts with; one after "<" comes just before the number itself.
  function number(text) {
    const found = text.replaceAll("−", "-").match(/^\s*(<?)\s*(-?\d[\d.]*(?:e-?\d+)?)/);
    return found ? Number(found[2]) * (found[1] ? 1 - 1e-9 : 1) : null;
  }

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
      // an interval stands in an element of its own, behind the number
      if (numeric) return { row, value: number(cell.firstChild?.textContent ?? "") };
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
