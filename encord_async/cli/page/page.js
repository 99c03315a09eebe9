// The page of a run: unpacks the data that the page holds, draws the course with uPlot and lists the steps with Tabulator.
// Whatever comes from the journal goes into the page as text, never as markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const WORDS = { created: "created", updated: "updated", adopted: "adopted", unchanged: "unchanged", failed: "failed", in_doubt: "in doubt", cancelled: "cancelled" };
  // What people look for first.
  const FIRST = ["failed", "in_doubt", "cancelled"];
  const words = (name) => WORDS[name] || name.replaceAll("_", " ");
  const number = new Intl.NumberFormat("en");
  const TICKS_S = [1, 2, 5];

  function say(text) {
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
    document.body.dataset.state = "failed";
  }
  addEventListener("error", (event) => say(`This page broke down: ${event.message}`));
  addEventListener("unhandledrejection", (event) => say(`This page broke down: ${event.reason}`));

  async function unpacked() {
    const packed = Uint8Array.from(atob(byId("data").textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  }

  // ------------------------------------------------------------------ words for figures

  const two = (value) => String(value).padStart(2, "0");
  const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = (date, digits = 0) =>
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` +
    (digits ? `.${String(date.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : "");
  const moment = (seconds, digits = 0) => { const date = new Date(seconds * 1000); return `${day(date)} ${clock(date, digits)}`; };

  function duration(seconds) {
    if (seconds < 0.0995) return `${Number((seconds * 1000).toPrecision(2))} ms`;
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 99.5) return `${Number(seconds.toPrecision(3))} s`;
    if (seconds < 5970) return `${Number((seconds / 60).toPrecision(3))} min`;
    return `${Number((seconds / 3600).toPrecision(3))} h`;
  }

  // ------------------------------------------------------------------ charts

  const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faint = (name) => () => `color-mix(in srgb, ${colour(name)()} 20%, transparent)`;
  const axis = (more) => ({ stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1, size: 4 }, font: "11px system-ui, sans-serif", ...more });
  const charts = [];

  function chart(id, { height, x, y, series, data, bands, cursor = {} }) {
    const target = byId(id);
    const legend = target.parentElement.querySelector(".legend");
    target.replaceChildren();
    legend.replaceChildren();
    const plot = new uPlot({
      width: target.clientWidth, height, ...x.scale, axes: [axis(x.axis), axis({ size: 62, ...y.axis })],
      scales: { x: x.range, y: y.range },
      series: [x.series, ...series], bands, cursor: { points: { size: 6 }, y: false, ...cursor },
      legend: { mount: (_, table) => legend.append(table) },
      padding: [8, 30, 0, 0],
    }, data, target);
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", target.parentElement.querySelector("figcaption b").textContent);
    charts.push({ plot, target, height });
  }

  new ResizeObserver(() => {
    for (const { plot, target, height } of charts) {
      if (target.clientWidth && target.clientWidth !== plot.width) plot.setSize({ width: target.clientWidth, height });
    }
  }).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(({ plot }) => plot.redraw()));

  const upward = (least) => (_, low, high) => [0, Math.max(least, (high || 0) * 1.08)];
  const counted = (_, splits) => splits.map((value) => (Number.isInteger(value) ? number.format(value) : ""));

  function timeAxis(stretch, last) {
    const digits = stretch.bin_s < 1 ? 2 : 0;
    const values = (_, splits, __, ___, step) => splits.map((value) => {
      const text = clock(new Date(value * 1000), step < 1 ? 2 : 0);
      return step >= 86400 ? day(new Date(value * 1000)) : step >= 60 ? text.slice(0, 5) : text;
    });
    return {
      axis: { values: last ? values : (_, splits) => splits.map(() => ""), size: last ? 30 : 8, space: 90 },
      range: { time: true },
      series: { label: "at", value: (_, value) => (value == null ? "–" : moment(value, digits)) },
    };
  }

  function drawCourse(stretch) {
    charts.splice(0).forEach(({ plot, target, height }) => (target.id === "chart-durations" ? charts.push({ plot, target, height }) : plot.destroy()));
    const bins = stretch.ended.length;
    const xs = Array.from({ length: bins + 1 }, (_, index) => stretch.began_s + index * stretch.bin_s);
    const closed = (values) => [...values, values[bins - 1]];
    const open = (values) => [...values, null];
    const steps = uPlot.paths.stepped({ align: 1 });
    const bars = uPlot.paths.bars({ size: [0.85, 24], align: 1 });
    const cursor = { sync: { key: "course", setSeries: false } };
    const shown = (format) => (_, value) => (value == null ? "–" : format(value));
    const area = (name, label, format) => ({ label, stroke: colour(name), fill: faint(name), width: 1.5, paths: steps, points: { show: false }, value: shown(format) });
    // Few values far apart make no line: then the points are what there is to see.
    const isSparse = stretch.median_s.filter((value) => value != null).length < 60;
    const line = (name, label) => ({ label, stroke: colour(name), width: 1.5, spanGaps: true, points: { show: isSparse, size: 4, fill: colour(name) }, value: shown(duration) });
    const bar = (name, label) => ({ label, stroke: colour(name), fill: colour(name), width: 0, paths: bars, points: { show: false }, value: shown(number.format) });
    const rate = (value) => number.format(Number(value.toPrecision(3)));

    chart("chart-ended", { height: 150, x: timeAxis(stretch, false), y: { axis: {}, range: { range: upward(1) } }, cursor,
      series: [area("created", "ended/s", rate)], data: [xs, closed(stretch.ended.map((count) => count / stretch.bin_s))] });
    const hasTraffic = stretch.requests.some((count) => count > 0);
    byId("chart-sent").parentElement.hidden = !hasTraffic;
    if (hasTraffic) drawSent(stretch, { xs, closed, open, area, bar, rate, cursor });
    chart("chart-under-way", { height: 120, x: timeAxis(stretch, false), y: { axis: { values: counted }, range: { range: upward(2) } }, cursor,
      series: [area("accent", "creates", number.format), ...(hasTraffic ? [{ ...area("adopted", "requests", number.format), fill: null }] : [])],
      data: [xs, closed(stretch.under_way), ...(hasTraffic ? [closed(stretch.in_flight)] : [])] });
    chart("chart-took", { height: 150, x: timeAxis(stretch, false), y: { axis: { splits: (_, __, low, high) => ticks(Math.log10(low), Math.log10(high)).map((value) => 10 ** value), values: (_, splits) => splits.map(duration), filter: (_, splits) => splits }, range: { distr: 3 } }, cursor,
      series: [line("updated", "median"), line("adopted", "95 % within")], data: [xs, open(stretch.median_s), open(stretch.slow_s)] });
    // One on top of the other: the sum is drawn first, and the failed before it.
    const both = stretch.failed.map((count, index) => count + stretch.in_doubt[index]);
    const doubts = { ...bar("in_doubt", "in doubt"), value: (_, __, ___, index) => (index == null ? "–" : number.format(stretch.in_doubt[index] ?? 0)) };
    chart("chart-trouble", { height: 120, x: timeAxis(stretch, true), y: { axis: { values: counted }, range: { range: upward(2) } }, cursor,
      series: [doubts, bar("failed", "failed")], data: [xs, open(both), open(stretch.failed)] });
  }

  // What was sent, and on the same scale the part of it that the service turned away and what was sent again.
  function drawSent(stretch, { xs, closed, open, area, bar, rate, cursor }) {
    const perSecond = (counts) => counts.map((count) => count / stretch.bin_s);
    const [throttled, retries] = [perSecond(stretch.throttled), perSecond(stretch.retries)];
    const both = throttled.map((count, index) => count + retries[index]);
    const told = (values) => (_, __, ___, index) => (index == null ? "–" : rate(values[index] ?? 0));
    chart("chart-sent", { height: 150, x: timeAxis(stretch, false), y: { axis: {}, range: { range: upward(1) } }, cursor,
      series: [area("accent", "sent/s", rate), { ...bar("in_doubt", "turned away/s"), value: told(throttled) }, { ...bar("failed", "sent again/s"), value: told(retries) }],
      data: [xs, closed(perSecond(stretch.requests)), open(both), open(retries)] });
  }

  function showCourse(stretches) {
    if (!stretches.length) return;
    byId("course").hidden = false;
    const select = byId("stretch");
    stretches.forEach((stretch, index) => {
      const steps = stretch.ended.reduce((sum, count) => sum + count, 0);
      select.add(new Option(`${moment(stretch.began_s)}, ${number.format(steps)} ended`, index));
    });
    byId("stretch-label").hidden = stretches.length < 2;
    // The one in which most was done: a look at what is done already comes after it, and has nothing to show.
    const work = (stretch) => stretch.ended.reduce((sum, count) => sum + count, 0);
    select.value = stretches.reduce((best, stretch, index) => (work(stretch) >= work(stretches[best]) ? index : best), 0);
    select.addEventListener("change", () => drawCourse(stretches[select.value]));
    drawCourse(stretches[select.value]);
  }

  function showDurations(durations) {
    if (!durations.number) return;
    byId("durations").hidden = false;
    const names = { p50: "median", p90: "90 %", p95: "95 %", p99: "99 %", max: "slowest" };
    byId("quantiles").replaceChildren(...Object.entries(durations.quantiles).map(([name, seconds]) => {
      const item = document.createElement("span");
      const value = document.createElement("b");
      value.textContent = duration(seconds);
      item.append(names[name], value);
      return item;
    }));
    // Equal bins of the logarithm, so the axis is one of logarithms.
    const from = durations.counts.findIndex((count) => count > 0);
    const counts = durations.counts.slice(from);
    const xs = counts.map((_, index) => durations.first_decade + (from + index) / 10);
    const bounds = [xs[0] - 0.1, xs[xs.length - 1] + 0.2];
    const range = (value) => `${duration(10 ** value)} to ${duration(10 ** (value + 0.1))}`;
    chart("chart-durations", { height: 210,
      x: {
        axis: { size: 30, splits: (_, __, low, high) => ticks(low, high), values: (_, splits) => splits.map((value) => duration(10 ** value)) },
        range: { time: false, range: (_, low, high) => (low === xs[0] && high === xs.at(-1) ? bounds : [low, high === low ? high + 0.1 : high]) },
        series: { label: "took", value: (_, value) => (value == null ? "–" : range(value)) },
      },
      y: { axis: { values: counted }, range: { range: upward(2) } },
      series: [{ label: "creates", stroke: colour("accent"), fill: faint("accent"), width: 1, paths: uPlot.paths.bars({ size: [1, 60], align: 1 }), points: { show: false }, value: (_, value) => (value == null ? "–" : number.format(value)) }],
      data: [[...xs, xs.at(-1) + 0.1], [...counts, null]] });
  }

  function ticks(low, high) {
    const found = [];
    const some = high - low > 2.5 ? [1] : TICKS_S;
    for (let decade = Math.floor(low); decade <= high; decade += 1) {
      for (const first of some) {
        const at = decade + Math.log10(first);
        if (at >= low && at <= high) found.push(at);
      }
    }
    return found;
  }

  // ------------------------------------------------------------------ steps

  function rowsOf(data) {
    const columns = data.rows;
    let began_ms = 0;
    const rows = columns.title.map((title, index) => {
      began_ms += columns.began_ms[index];
      return {
        n: index + 1, id: columns.id[index], title, place: columns.place[index], key: columns.key[index],
        kind: data.kinds[columns.kind[index]], status: data.statuses[columns.status[index]],
        hash: columns.hashes[columns.hash[index]] ?? "", parent: columns.hashes[columns.parent[index]] ?? "",
        code: columns.texts[columns.code[index]] ?? "", message: columns.texts[columns.message[index]] ?? "",
        began_ms, took_ms: columns.took_ms[index] < 0 ? null : columns.took_ms[index],
      };
    });
    const titles = new Map(rows.filter((row) => row.hash && !row.parent).map((row) => [row.hash, row.title]));
    rows.forEach((row) => { row.in = titles.get(row.parent) ?? ""; });
    return inOrder(rows);
  }

  // What went wrong comes first, and all that is about one thing stands together, in the order in which it began.
  function inOrder(rows) {
    const rank = (row) => { const found = FIRST.indexOf(row.status); return found < 0 ? FIRST.length : found; };
    const first = new Map();
    const about = (row) => row.parent || row.hash || `step ${row.n}`;
    rows.forEach((row) => { if (!first.has(about(row))) first.set(about(row), row.n); });
    return [...rows].sort((one, other) => rank(one) - rank(other) || first.get(about(one)) - first.get(about(other)) || one.n - other.n);
  }

  const linkTo = (links, form, hash) => (links?.[form] && hash ? links[form].replace("{}", () => encodeURIComponent(hash)) : null);

  function linked(text, address) {
    if (!address) return document.createTextNode(text);
    const link = document.createElement("a");
    link.textContent = text;
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  }

  function pill(status) {
    const found = document.createElement("span");
    found.className = `pill ${status}`;
    found.textContent = words(status);
    return found;
  }

  function columnsOf(data) {
    const ranks = Object.fromEntries(data.statuses.map((name, index) => [name, index]));
    const collator = new Intl.Collator("en", { numeric: true });
    const byText = (one, other) => (one === other ? 0 : collator.compare(one, other));
    const byNumber = (one, other) => (one ?? -1) - (other ?? -1);
    const text = (title, field, more) => ({ title, field, sorter: byText, formatter: plain, ...more });
    const plain = (cell) => { const value = cell.getValue(); cell.getElement().title = value; return document.createTextNode(value); };
    const hash = (title, field, form) => text(title, field, {
      cssClass: "code", width: 124,
      formatter: (cell) => { const value = cell.getValue(); cell.getElement().title = value; return linked(value, linkTo(data.links, form(cell.getData()), value)); },
    });
    const columns = [
      { title: "#", field: "n", sorter: byNumber, width: 72, hozAlign: "right", cssClass: "number", formatter: opener },
      text("Status", "status", { width: 108, sorter: (one, other) => ranks[one] - ranks[other], formatter: (cell) => pill(cell.getValue()) }),
      text("Kind", "kind", { width: 88, formatter: (cell) => document.createTextNode(words(cell.getValue())) }),
      text("Title", "title", { minWidth: 240, widthGrow: 3, cssClass: "title" }),
      text("In", "in", { minWidth: 120, widthGrow: 1 }),
      text("Key", "key", { minWidth: 90, widthGrow: 1 }),
      text("Message", "message", { minWidth: 200, widthGrow: 4 }),
      hash("Hash", "hash", (row) => row.kind),
      hash("Of", "parent", (row) => data.parents[row.kind]),
      { title: "Took", field: "took_ms", sorter: byNumber, width: 84, hozAlign: "right", cssClass: "number", formatter: (cell) => document.createTextNode(cell.getValue() == null ? "" : duration(cell.getValue() / 1000)) },
      { title: "Began", field: "began_ms", sorter: byNumber, width: 96, cssClass: "number", formatter: (cell) => { const value = cell.getValue(); cell.getElement().title = value ? moment(value / 1000, 3) : ""; return document.createTextNode(value ? clock(new Date(value)) : ""); } },
      text("Place", "place", { minWidth: 120, widthGrow: 1 }),
    ];
    const room = byId("table").clientWidth;
    if (room > 600) return columns;
    // On a telephone the title has what the status leaves; all else is found by scrolling, and in the details.
    const [count, status, kind, title, ...more] = columns;
    return [{ ...title, minWidth: room - 112, width: room - 112 }, status, count, kind, ...more];
  }

  function opener(cell) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = number.format(cell.getValue());
    button.setAttribute("aria-label", `Details of step ${cell.getValue()}`);
    return button;
  }

  function showDetails(row, data) {
    const list = byId("details").querySelector("dl");
    list.replaceChildren();
    const add = (term, node, code) => {
      const name = document.createElement("dt");
      const value = document.createElement("dd");
      name.textContent = term;
      value.append(node);
      if (code) value.className = "code";
      list.append(name, value);
    };
    add("Status", pill(row.status));
    add("Kind", words(row.kind));
    add("Title", row.title);
    if (row.key) add("Key", row.key);
    if (row.message) add("Message", row.message);
    if (row.code) add("Code", row.code, true);
    if (row.hash) add("Hash", linked(row.hash, linkTo(data.links, row.kind, row.hash)), true);
    const candidates = data.rows.candidates[row.n - 1] ?? [];
    if (candidates.length) add("It may be", candidates.join("\n"), true);
    if (row.in) add("In", row.in);
    if (row.parent) add("Of", linked(row.parent, linkTo(data.links, data.parents[row.kind], row.parent)), true);
    add("Place", row.place);
    if (row.began_ms) add("Began", moment(row.began_ms / 1000, 3));
    if (row.took_ms != null) add("Took", duration(row.took_ms / 1000));
    add("Number", row.id, true);
    byId("details").showModal();
  }

  function showSteps(data) {
    const rows = rowsOf(data);
    byId("steps").hidden = false;
    const table = new Tabulator("#table", {
      data: rows, columns: columnsOf(data), height: rows.length > 18 ? "min(640px, 80vh)" : false, layout: "fitColumns", rowHeight: byId("table").clientWidth > 600 ? 32 : 44,
      placeholder: "No step fits.", index: "n", columnDefaults: { headerSortTristate: true, resizable: "header" },
    });
    table.on("rowClick", (event, row) => { if (!event.target.closest("a") && !String(getSelection())) showDetails(row.getData(), data); });
    return new Promise((done) => table.on("tableBuilt", () => { connectTools(table, rows, data); done(); }));
  }

  function connectTools(table, rows, data) {
    const [search, status, kind] = [byId("search"), byId("status"), byId("kind")];
    const tiles = [...document.querySelectorAll(".tile")];
    const found = (select, name, values) => values.forEach((value) => { if (rows.some((row) => row[name] === value)) select.add(new Option(words(value), value)); });
    found(status, "status", data.statuses);
    found(kind, "kind", data.kinds);
    let haystacks = null;
    const haystack = (row) => [row.title, row.in, row.key, row.hash, row.parent, row.code, row.message, row.place, row.id].join("\n").toLowerCase();

    function apply() {
      const needles = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (needles.length) haystacks ??= rows.map(haystack);
      const [wantedStatus, wantedKind] = [status.value, kind.value];
      const fits = (row) => (!wantedStatus || row.status === wantedStatus) && (!wantedKind || row.kind === wantedKind)
        && needles.every((needle) => haystacks[row.n - 1].includes(needle));
      if (needles.length || wantedStatus || wantedKind) table.setFilter(fits);
      else table.clearFilter();
      const shown = table.getDataCount("active");
      byId("shown").textContent = shown === rows.length ? `${number.format(shown)} steps` : `${number.format(shown)} of ${number.format(rows.length)} steps`;
      tiles.forEach((tile) => tile.setAttribute("aria-pressed", String(tile.dataset.status === wantedStatus)));
    }

    let due = 0;
    search.addEventListener("input", () => { clearTimeout(due); due = setTimeout(apply, rows.length > 5000 ? 180 : 0); });
    status.addEventListener("change", apply);
    kind.addEventListener("change", apply);
    byId("reset").addEventListener("click", () => { search.value = status.value = kind.value = ""; table.clearSort(); apply(); });
    tiles.forEach((tile) => tile.addEventListener("click", () => {
      status.value = status.value === tile.dataset.status ? "" : tile.dataset.status;
      apply();
    }));
    apply();
  }

  // ------------------------------------------------------------------ begin

  async function main() {
    if (typeof DecompressionStream === "undefined") {
      say("This browser is too old for the charts and the list: they need Chrome 80, Firefox 113 or Safari 16.4.");
      return;
    }
    const data = await unpacked();
    document.querySelectorAll("time").forEach((time) => { time.textContent = moment(Date.parse(time.dateTime) / 1000); });
    showCourse(data.stretches);
    showDurations(data.durations);
    if (data.rows.title.length) await showSteps(data);
    document.body.dataset.state ??= "ready";
  }
  main().catch((error) => say(`This page broke down: ${error}`));
})();
