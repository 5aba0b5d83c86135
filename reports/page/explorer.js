// Draws the learning curves that the reader picks. The numbers and the empty plot are in
// #explorer-data, see scripts/l2study/report/curve_picker.py; Bokeh draws.
"use strict";
(() => {
  const form = document.getElementById("explorer");
  if (!form || !window.Bokeh) return;
  const { plot, curves } = JSON.parse(document.getElementById("explorer-data").textContent);
  const boxes = [...form.querySelectorAll("input[name=l2]")];
  const LABEL_HEIGHT = 14;
  const MARKS = 25;

  // What is picked, as one object per lambda: epochs and values that there are.
  function picked() {
    const measure = curves.measures.find((one) => one.name === form.elements.measure.value);
    const first = form.elements.start.checked ? 0 : 1;
    const lines = boxes.filter((box) => box.checked).map((box) => {
      const rank = Number(box.value);
      const at = curves.epochs.map((_, k) => k)
        .filter((k) => curves.epochs[k] >= first && measure.mean[rank][k] !== null);
      const take = (values) => at.map((k) => values[k] ?? NaN);
      return {
        ...curves.lambdas[rank],
        x: take(curves.epochs),
        mean: take(measure.mean[rank]),
        low: take(measure.low[rank]),
        high: take(measure.high[rank]),
        runs: form.elements.runs?.checked ? measure.runs[rank].map(take) : [],
      };
    });
    return { measure, lines: lines.filter((line) => line.x.length) };
  }

  // Places of labels: as near the wanted heights as can be if they are `gap` apart, and between
  // low and high if they fit. Least squares under that is isotonic regression of heights less steps.
  function spread(wanted, gap, low, high) {
    const order = wanted.map((_, k) => k).sort((a, b) => wanted[a] - wanted[b]);
    const blocks = [];
    order.forEach((k, n) => {
      blocks.push({ sum: wanted[k] - n * gap, size: 1 });
      while (blocks.length > 1) {
        const [below, last] = blocks.slice(-2);
        if (below.sum / below.size <= last.sum / last.size) break;
        blocks.splice(-2, 2, { sum: below.sum + last.sum, size: below.size + last.size });
      }
    });
    const most = Math.max(low, high - (order.length - 1) * gap);
    const base = blocks.flatMap(({ sum, size }) => Array(size).fill(sum / size));
    const places = [];
    order.forEach((k, n) => { places[k] = Math.min(Math.max(base[n], low), most) + n * gap; });
    return places;
  }

  function setRange(range, start, end) {
    range.setv({ start, end, reset_start: start, reset_end: end });
  }

  // Numbers as texts with four significant digits that meet at the decimal point.
  function aligned(values) {
    const texts = values
      .map((value) => (Number.isFinite(value) ? value.toPrecision(4).replaceAll("-", "−") : "–"));
    const decimals = texts
      .map((text) => (/^−?[\d.]+$/.test(text) ? (text.split(".")[1] ?? "").length : null));
    const most = Math.max(0, ...decimals);
    return texts.map((text, k) => (decimals[k] === null ? text
      : text + (decimals[k] || !most ? "" : "\u2008") + "\u2007".repeat(most - decimals[k])));
  }

  function draw(model) {
    const { measure, lines } = picked();
    const { title } = measure;
    const each = (value) => lines.map(value);
    // Each column of a source has a function of an item.
    const fill = (name, items, columns) => {
      model.document.get_model_by_name(name).data = Object.fromEntries(
        Object.entries(columns).map(([column, value]) => [column, items.map(value)]));
    };

    const all = lines.flatMap((line) => [...line.low, ...line.high]).filter(Number.isFinite);
    const [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
    const room = 0.05 * (high - low || Math.abs(high) || 1);
    const x = lines.flatMap((line) => line.x);
    const [start, end] = x.length ? [Math.min(...x), Math.max(...x)] : [0, 1];
    const span = end - start || 1;
    const text = 12 + 7.5 * Math.max(0, ...each((line) => line.label.length));
    const right = (1.03 * text) / Math.max(form.clientWidth - 80 - text, text);
    setRange(model.x_range, start - 0.03 * span, end + span * right);
    model.below[0].bounds = [start, end];
    setRange(model.y_range, low - room, high + room);

    fill("bands", lines, {
      xs: (line) => [...line.x, ...[...line.x].reverse()],
      ys: (line) => [...line.low, ...[...line.high].reverse()],
      colour: (line) => line.colour,
    });
    fill("runs", lines.flatMap((line) => line.runs.map((ys) => ({ ...line, ys }))), {
      xs: (run) => run.x,
      ys: (run) => run.ys,
      colour: (run) => run.colour,
    });
    fill("means", lines, {
      xs: (line) => line.x,
      ys: (line) => line.mean,
      colour: (line) => line.colour,
      dash: (line) => (line.marker === "square" ? "dashed" : "solid"),
    });
    const step = Math.ceil(curves.epochs.length / MARKS);
    const marks = lines.flatMap((line) => line.x
      .map((x, k) => ({ ...line, x, y: line.mean[k], low: line.low[k], high: line.high[k] }))
      .filter((_, k) => (line.x.length - 1 - k) % step === 0));
    const columns = ["x", "y", "low", "high", "colour", "marker", "label"];
    fill("marks", marks, Object.fromEntries(columns.map((name) => [name, (mark) => mark[name]])));
    const pixel = (high - low + 2 * room) / (0.8 * model.height);
    const places = spread(
      each((line) => line.mean.at(-1)), LABEL_HEIGHT * pixel, low - room / 2, high + room / 2);
    fill("ends", lines, {
      x: (line) => line.x.at(-1),
      y: (_, k) => places[k],
      colour: (line) => line.ink,
      text: (line) => line.label,
    });
    model.left[0].axis_label = title;

    const names = lines.map((line) => line.label).join(", ") || "none";
    document.getElementById("explorer-plot").setAttribute(
      "aria-label", `${title} over epochs, for lambda ${names}. The table below has the values.`);
    const values = ["mean", "low", "high"]
      .map((name) => aligned(each((line) => line[name].at(-1))));
    form.querySelector("caption").textContent = lines.length
      ? `${title} at epoch ${lines[0].x.at(-1)}` : "No lambda is picked.";
    form.querySelector("tbody").replaceChildren(...lines.map((line, k) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = line.label;
      row.append(head, ...values.map((texts) => {
        const cell = document.createElement("td");
        cell.textContent = texts[k];
        return cell;
      }));
      return row;
    }));
  }

  form.hidden = false;
  Bokeh.embed.embed_item(plot, "explorer-plot").then(() => {
    const model = Bokeh.documents
      .map((doc) => doc.get_model_by_name("explorer")).find((found) => found);
    const redraw = () => draw(model);
    const all = (checked) => () => { boxes.forEach((box) => { box.checked = checked; }); redraw(); };
    form.addEventListener("change", redraw);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.elements.all.addEventListener("click", all(true));
    form.elements.none.addEventListener("click", all(false));
    redraw();
    document.body.classList.add("explored");
  }).catch((error) => {
    form.hidden = true;
    throw error;
  });
})();
