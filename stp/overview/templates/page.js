"use strict";
// What can be changed on the page: bars, matrices, wrong clips, and the order of tables. All facts are in #data.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const PAGE = 12; // clips shown at once

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function cellNumber(input, variant) {
  return data.cells.findIndex((cell) => cell.input === input && cell.variant === variant);
}

function cellName(cell) {
  return `${cell.input}, ${cell.variant}`;
}

// ---- Accuracy of each class

const rows = [...document.querySelectorAll(".bars .row")];

function drawBar(row, kind, bar) {
  const shape = row.querySelector(`.bar.${kind}`);
  const words = row.querySelector(`.values .${kind}`);
  shape.hidden = !bar;
  if (!bar) {
    words.textContent = "–";
    return;
  }
  ["--value", "--low", "--high"].forEach((name, place) => shape.style.setProperty(name, bar[place]));
  const [value, low, high] = bar.map((figure) => figure.toFixed(0));
  words.replaceChildren(`${value} `, element("small", { textContent: `${low}–${high}` }));
}

function drawBars() {
  const [first, second] = ["first", "second"].map((id) => data.cells[$(id).value].bars);
  for (const row of rows) {
    drawBar(row, "first", first[row.dataset.class]);
    drawBar(row, "second", second[row.dataset.class]);
  }
  const value = (bars, row) => (bars[row.dataset.class] ? bars[row.dataset.class][0] : -1);
  const orders = {
    "": (row) => Number(row.dataset.class),
    second: (row) => -value(second, row),
    gain: (row) => value(first, row) - value(second, row),
  };
  const key = orders[$("order").value];
  const name = (row) => data.classes[row.dataset.class];
  const ordered = [...rows].sort((a, b) => (key ? key(a) - key(b) : name(a).localeCompare(name(b))));
  rows[0]?.parentElement.append(...ordered);
}

["first", "second", "order"].forEach((id) => $(id).addEventListener("change", drawBars));

// ---- Confusion matrices

function matrixTable(number) {
  const counts = data.cells[number].confusion;
  const head = data.classes.map((name) => element("th", { scope: "col", title: name }, element("span", { textContent: name })));
  const body = counts.map((line, row) => {
    const total = line.reduce((sum, count) => sum + count, 0);
    const cells = line.map((count, column) => {
      const cell = element("td", { className: row === column ? "right" : "wrong" });
      const share = total ? count / total : 0;
      cell.style.setProperty("--heat", share.toFixed(3));
      if (count) {
        const words = `${data.classes[row]} taken for ${data.classes[column]}: ${count} of ${total}`;
        const shown = { type: "button", textContent: (100 * share).toFixed(0), title: words, ariaLabel: words };
        const button = element("button", shown);
        button.addEventListener("click", () => {
          $("matrix").close();
          if (row !== column) showClips(number, row, column);
        });
        cell.append(button);
      }
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row", textContent: `${data.classes[row]} (${total})` }), ...cells);
  });
  return element("table", {}, element("thead", {}, element("tr", {}, element("th", { textContent: "true ↓ predicted →" }), ...head)), element("tbody", {}, ...body));
}

document.querySelectorAll("[data-matrix]").forEach((button) =>
  button.addEventListener("click", () => {
    $("matrix-title").textContent = `${cellName(data.cells[button.dataset.matrix])}: % of the true class`;
    $("matrix-body").replaceChildren(matrixTable(Number(button.dataset.matrix)));
    $("matrix").showModal();
  }),
);

// ---- Wrong clips

const inputs = [...new Set(data.cells.map((cell) => cell.input))];
const labels = data.tests.label;
const timesWrong = labels.map((label, test) => data.cells.filter((cell) => cell.predicted[test] !== label).length);
let limit = PAGE;
let playing = false;

function fill(select, names, values = names) {
  select.append(...names.map((name, place) => element("option", { textContent: name, value: values[place] })));
}

function fillVariants(wanted) {
  const own = data.cells.filter((cell) => cell.input === $("input").value).map((cell) => cell.variant);
  $("variant").replaceChildren();
  fill($("variant"), own);
  $("variant").value = own.includes(wanted) ? wanted : own[own.length - 1];
}

function wrongTests(cell) {
  const [label, predicted, name] = ["label", "predicted", "name"].map((id) => $(id).value);
  const found = labels.map((_, test) => test).filter((test) => cell.predicted[test] !== labels[test]);
  const chosen = found.filter(
    (test) =>
      (label === "" || labels[test] === Number(label)) &&
      (predicted === "" || cell.predicted[test] === Number(predicted)) &&
      data.clips[data.tests.clip[test]].toLowerCase().includes(name.toLowerCase()),
  );
  const id = (test) => data.clips[data.tests.clip[test]];
  const orders = {
    sure: (a, b) => cell.sure[b] - cell.sure[a],
    unsure: (a, b) => cell.sure[a] - cell.sure[b],
    hard: (a, b) => timesWrong[b] - timesWrong[a],
    name: (a, b) => id(a).localeCompare(id(b)),
  };
  return { chosen: chosen.sort(orders[$("sort").value]), all: found.length };
}

function clipVideo(address, clip) {
  const video = element("video", { muted: true, loop: true, playsInline: true, preload: "auto", src: address });
  const sign = element("span", { className: "sign", textContent: "▶ play" });
  const button = element("button", { type: "button", ariaLabel: `Play ${clip}` }, video, sign);
  video.defaultPlaybackRate = video.playbackRate = Number($("speed").value);
  video.addEventListener("play", () => (sign.textContent = "❚❚ pause"));
  video.addEventListener("pause", () => (sign.textContent = "▶ play"));
  video.addEventListener("error", () => (sign.textContent = "cannot be played here"));
  button.addEventListener("click", () => (video.paused ? video.play().catch(() => {}) : video.pause()));
  if (playing) video.play().catch(() => {});
  return button;
}

function clipFigure(cell, test) {
  const number = data.tests.clip[test];
  const clip = data.clips[number];
  const none = element("div", { className: "none", textContent: "no preview of this clip" });
  const shown = data.videos[number] ? clipVideo(data.videos[number], clip) : none;
  const details = `${clip}, fold ${data.tests.fold[test]}; wrong by ${timesWrong[test]} of ${data.cells.length} inputs and variants`;
  const caption = element(
    "figcaption",
    {},
    element("strong", { textContent: data.classes[labels[test]] }),
    " taken for ",
    element("em", { textContent: data.classes[cell.predicted[test]] }),
    `, probability ${cell.sure[test]}\u00a0%`,
    element("br"),
    element("small", { textContent: details }),
  );
  return element("figure", { className: "clip" }, shown, caption);
}

function drawClips() {
  const cell = data.cells[cellNumber($("input").value, $("variant").value)];
  const { chosen, all } = wrongTests(cell);
  const shown = chosen.slice(0, limit);
  $("wrong").replaceChildren(...shown.map((test) => clipFigure(cell, test)));
  const part = chosen.length < all ? `${chosen.length} of these` : "all of them";
  const words = `${cellName(cell)}: ${all} of ${labels.length} tests are wrong`;
  $("count").textContent = all ? `${words}; ${shown.length < chosen.length ? `the first ${shown.length} of ${chosen.length}` : part} below.` : `${words}.`;
  $("more").hidden = shown.length === chosen.length;
}

function redraw() {
  limit = PAGE;
  drawClips();
}

function showClips(number, label = "", predicted = "") {
  const cell = data.cells[number];
  $("input").value = cell.input;
  fillVariants(cell.variant);
  $("label").value = label;
  $("predicted").value = predicted;
  $("name").value = "";
  redraw();
  $("clips").scrollIntoView();
}

fill($("input"), inputs);
fill($("label"), data.classes, data.classes.map((_, number) => number));
fill($("predicted"), data.classes, data.classes.map((_, number) => number));
$("input").addEventListener("change", () => fillVariants($("variant").value));
["input", "variant", "label", "predicted", "sort"].forEach((id) => $(id).addEventListener("change", redraw));
$("name").addEventListener("input", redraw);
$("more").addEventListener("click", () => {
  limit += PAGE;
  drawClips();
});
$("speed").addEventListener("change", () => {
  document.querySelectorAll(".clip video").forEach((video) => (video.defaultPlaybackRate = video.playbackRate = Number($("speed").value)));
});
$("play").addEventListener("click", () => {
  playing = !playing;
  $("play").textContent = playing ? "Pause all" : "Play all";
  document.querySelectorAll(".clip video").forEach((video) => (playing ? video.play().catch(() => {}) : video.pause()));
});
document.querySelectorAll("[data-cell]").forEach((link) =>
  link.addEventListener("click", (event) => {
    event.preventDefault();
    showClips(Number(link.dataset.cell));
  }),
);
const best = data.cells[$("second").value];
$("input").value = best.input;
fillVariants(best.variant);
drawClips();

// ---- Tables: a click on a heading sorts, a word filters

function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const figure = Number.parseFloat(text.replace("−", "-").replace("<", ""));
  return Number.isNaN(figure) ? text : figure;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return typeof a === typeof b ? a.localeCompare(b) : typeof a === "number" ? -1 : 1;
}

document.querySelectorAll(".sorted table").forEach((table) => {
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = element("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const falls = heading.ariaSort === "ascending";
      table.querySelectorAll("thead th").forEach((other) => (other.ariaSort = null));
      heading.ariaSort = falls ? "descending" : "ascending";
      const sorted = [...table.tBodies[0].rows].sort((a, b) => (falls ? -1 : 1) * compare(value(a, column), value(b, column)));
      table.tBodies[0].append(...sorted);
    });
  });
});

function filterRows(search) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const first = search.dataset.and ? $(search.dataset.and).value : "";
  for (const row of $(search.dataset.search).querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = (first && row.cells[0].textContent !== first) || !words.every((word) => text.includes(word));
  }
}

document.querySelectorAll("[data-search]").forEach((search) => {
  search.addEventListener("input", () => filterRows(search));
  if (search.dataset.and) $(search.dataset.and).addEventListener("change", () => filterRows(search));
  filterRows(search);
});

// ---- A link to what is folded unfolds it

document.querySelectorAll('a[href="#health"]').forEach((link) => link.addEventListener("click", () => ($("health").open = true)));

// ---- On paper everything is open

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => (details.open = true));
});
window.addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
