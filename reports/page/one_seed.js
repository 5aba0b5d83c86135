// Draws a seed at random and shows what it alone would have said. The words of all seeds are in the table,
// those of every seed in #one-seed-data, see scripts/l2study/report/one_seed_text.py.
"use strict";
(() => {
  const place = document.getElementById("one-seed");
  if (!place) return;
  const { seeds, said, other } = JSON.parse(document.getElementById("one-seed-data").textContent);
  const rows = [...place.querySelectorAll("tbody tr")];
  const head = place.querySelector("thead th:last-child");
  let last = -1;

  function show(seed) {
    rows.forEach((row, k) => {
      const cell = row.cells[2];
      cell.textContent = said[k][seed];
      cell.classList.toggle("other", Boolean(other[k][seed]));
      if (!other[k][seed]) return;
      const note = document.createElement("small");
      note.textContent = row.dataset.other;
      cell.append(document.createElement("br"), note);
    });
    head.textContent = `Seed ${seeds[seed]} alone`;
    const differ = other.filter((row) => row[seed]).length;
    place.querySelector("[role=status]").textContent = differ
      ? `Seed ${seeds[seed]} alone says otherwise than all seeds in ${differ} of ${rows.length} rows.`
      : `Seed ${seeds[seed]} alone says the same as all seeds in every row.`;
  }

  // Not the same seed twice in a row, so that every click is seen to do something.
  function draw() {
    const step = 1 + Math.floor(Math.random() * Math.max(1, seeds.length - 1));
    last = last < 0 ? Math.floor(Math.random() * seeds.length) : (last + step) % seeds.length;
    place.querySelector(".scroll").hidden = false;
    show(last);
  }

  place.querySelector("button").addEventListener("click", draw);
  place.hidden = false;
})();
