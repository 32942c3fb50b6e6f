// The status page: reads the JSON every few seconds and changes what changed, in place.
// Everything that comes out of events is set as text, never as markup.

const EVERY_MS = 5000;
const MOST_CATEGORIES = 12;
// So many alerts leave the figures below in sight.
const FEW_ALERTS = 4;
// The performance figures that are shown first, whatever the task.
const MAIN_METRICS = ["accuracy", "precision", "recall", "f1", "auc", "log_loss", "macro_f1", "mean_error", "mae", "rmse", "value"];
const METRIC_NAMES = {
  f1: "F1", auc: "AUC", mcc: "MCC", ece: "ECE", mae: "MAE", mse: "MSE", rmse: "RMSE", mape: "MAPE", r2: "R²",
  brier: "Brier score", log_loss: "log loss", macro_f1: "macro F1", weighted_f1: "weighted F1",
};
// A bar is full at this distance or at the largest one there is: noise must not fill bars.
const FULL_BAR = 0.2;

const narrow = matchMedia("(max-width: 1100px)"); // as in page.css
const $ = (id) => document.getElementById(id);
const chosen = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
let shown = null; // the latest view of the chosen model
let alerts = [];
let allAlerts = false; // whether more than the first few are shown
let allMetrics = false; // whether more than the main ones are shown
let turn = 0; // of the latest request; answers to earlier ones are dropped
let timer = 0;

// --- Text -------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en");
const figure = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const MISSING = "–";

const number = (value) => (value == null ? MISSING : figure.format(value));
const count = (value) => (value == null ? MISSING : whole.format(Math.round(value)));

function distance(value) {
  return value == null ? MISSING : Math.max(value, 0).toFixed(value >= 10 ? 1 : 3);
}

function percent(share) {
  if (share == null) return MISSING;
  if (share === 0) return "0 %";
  if (share < 0.0005) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}

function pValue(value) {
  if (value == null) return MISSING;
  return value < 0.001 ? "< 0.001" : value.toFixed(3);
}

function clockTime(iso, withDate) {
  if (!iso) return MISSING;
  return withDate ? `${iso.slice(0, 10)} ${iso.slice(11, 16)}` : iso.slice(11, 19);
}

function span(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${count(seconds / 86400)} days`;
}

// --- Elements ---------------------------------------------------------------------------------

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function mark(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

function part(node, className) {
  return node.querySelector(`.${className}`);
}

// Makes the children of `parent` those of `items`, by key: nodes stay, so focus and hover stay.
function keep(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let node = old.get(name);
    if (node) old.delete(name);
    else {
      node = create(item);
      node.dataset.key = name;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const node of old.values()) node.remove();
}

// --- Choice -----------------------------------------------------------------------------------

function choose(change) {
  Object.assign(chosen, change);
  for (const name of Object.keys(chosen)) if (chosen[name] == null) delete chosen[name];
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  const known = shown && Object.keys(change).every((name) => name === "field" || name === "measure");
  if (known) showDetail(showFields(shown));
  else refresh();
}

const fieldKey = (field) => `${field.kind}:${field.name}`;

// --- Parts of the page ------------------------------------------------------------------------

function showStatus(status) {
  const state = status.ready ? "ready" : status.alive ? "waiting" : "down";
  const word = status.ready ? "Ready" : status.alive ? "Not ready" : "Not working";
  mark($("state"), "data-state", state);
  say($("state"), status.reason && !status.ready ? `${word}: ${status.reason}` : word);
  say($("lag"), count(status.lag_messages));
  say($("rate"), count(status.events_per_second));
  const behind = status.event_time && Date.parse(status.now) - Date.parse(status.event_time);
  say($("clock"), clockTime(status.event_time, behind > 86400000));
  say($("behind"), status.event_time ? `UTC, ${span(Math.max(0, behind))} ago` : "");
  say($("updated"), `Updated ${clockTime(status.now)} UTC, every ${EVERY_MS / 1000} s`);
  say($("release"), `Version ${status.version}`);
}

function showAlerts(clocks) {
  // Silence means nothing where nothing is watched.
  $("no-alerts").hidden = alerts.length > 0 || clocks.size === 0;
  $("alert-count").hidden = alerts.length === 0;
  say($("alert-count"), String(alerts.length));
  document.title = alerts.length ? `(${alerts.length}) Streamgauge` : "Streamgauge";
  const more = $("more-alerts");
  more.hidden = alerts.length <= FEW_ALERTS;
  say(more, allAlerts ? `Show the first ${FEW_ALERTS}` : `Show all ${alerts.length} alerts`);
  mark(more, "aria-expanded", String(allAlerts));
  more.onclick = () => {
    allAlerts = !allAlerts;
    showAlerts(clocks);
  };
  keep($("alert-list"), allAlerts ? alerts : alerts.slice(0, FEW_ALERTS), (alert) => alert.alert_id, makeAlert, (item, alert) => {
    const node = item.firstElementChild;
    mark(node, "data-severity", alert.severity);
    say(part(node, "severity"), alert.severity);
    say(part(node, "summary"), alert.summary);
    const started = Date.parse(alert.starts_at);
    const clock = clocks.get(alert.model);
    say(part(node, "since"), clock >= started ? `for ${span(clock - started)}` : "");
    const old = clock - started > 86400000;
    const onset = alert.onset ? `, change began ${clockTime(alert.onset, old)}` : "";
    say(part(node, "onset"), `since ${clockTime(alert.starts_at, old)} UTC${onset}`);
    const facts = [["model", alert.model], ["version", alert.model_version]];
    if (alert.slice) facts.push(["slice", alert.slice]);
    facts.push([alert.subject.kind.replace("_", " "), alert.subject.name]);
    showFacts(part(node, "where"), facts);
    node.onclick = () => {
      const field = `${alert.subject.kind}:${alert.subject.name}`;
      choose({ model: alert.model, version: alert.model_version, slice: alert.slice || null, field });
      const judged = alert.subject.kind === "performance" && !$("performance").hidden;
      $(judged ? "performance" : "model").scrollIntoView({ behavior: "smooth", block: "start" });
    };
  });
}

function makeAlert() {
  const button = make("button", "alert", make("span", "severity"), make("span", "summary"), make("span", "since"), make("span", "where"), make("span", "onset"));
  button.type = "button";
  return make("li", "", button);
}

function showFacts(parent, facts) {
  keep(parent, facts, ([name]) => name, () => make("span", "", "", make("b")), (node, [name, text]) => {
    if (node.firstChild.data !== `${name} `) node.firstChild.data = `${name} `;
    say(node.lastChild, text);
  });
}

function showTabs(models) {
  $("model-tabs").hidden = models.length < 2;
  say($("model-title"), models.length < 2 ? `Model ${models[0]?.model ?? ""}` : "Models");
  const create = () => {
    const node = make("button", "tab", make("span", "name"), make("span", "firing"));
    node.type = "button";
    return node;
  };
  keep($("model-tabs"), models, (model) => model.model, create, (node, model) => {
    say(part(node, "name"), model.model);
    say(part(node, "firing"), model.alerts_firing ? String(model.alerts_firing) : "");
    mark(node, "aria-pressed", model.model === shown.model);
    node.onclick = () => choose({ model: model.model, version: null, slice: null, field: null });
  });
}

function showControls(view) {
  const window_ = view.window;
  const facts = [["task", view.task ?? MISSING], ["reference", view.reference ?? "none yet"]];
  facts.push(["event clock", `${clockTime(view.event_time, true)} UTC`], ["late events", count(view.late_events)]);
  if (view.hidden_slices) facts.push(["slices not shown", count(view.hidden_slices)]);
  showFacts($("model-facts"), facts);

  let group = part($("windows"), "options");
  if (!group) $("windows").append((group = make("div", "options")));
  const create = () => {
    const input = make("input");
    input.type = "radio";
    input.name = "window";
    return make("label", "", input, make("span"));
  };
  keep(group, view.windows, (name) => name, create, (node, name) => {
    node.firstChild.checked = name === window_?.name;
    node.firstChild.onchange = () => choose({ window: name });
    say(node.lastChild, name);
  });

  const versions = view.versions.map(({ version, events }) => [version, `${version} (${count(events)})`]);
  showOptions($("version"), versions, window_?.version, (version) => choose({ version, slice: null }));
  const slices = view.slices.map(({ slice, samples }) => [slice, `${slice} (${count(samples)})`]);
  showOptions($("slice"), [["", "all traffic"], ...slices], window_?.slice, (slice) => choose({ slice: slice || null }));
  const measures = new Set(view.fields.flatMap((field) => Object.keys(field.distances)));
  const names = [...measures].map((name) => [name, name.replaceAll("_", " ")]);
  $("measure").parentElement.hidden = names.length === 0;
  showOptions($("measure"), names, measure(view), (name) => choose({ measure: name }));
  const from = window_ && clockTime(window_.start, true);
  const until = window_ && clockTime(window_.end, window_.start.slice(0, 10) !== window_.end.slice(0, 10));
  say($("span"), window_ ? `${count(window_.samples)} predictions, ${from} to ${until} UTC` : "");
}

function showOptions(select, options, value, act) {
  keep(select, options, ([name]) => name, () => make("option"), (node, [name, text]) => {
    node.value = name;
    say(node, text);
  });
  if (value != null && select.value !== value) select.value = value;
  select.disabled = options.length < 2;
  select.onchange = () => act(select.value);
}

function measure(view) {
  const known = new Set(view.fields.flatMap((field) => Object.keys(field.distances)));
  for (const name of [chosen.measure, "psi", ...known]) if (known.has(name)) return name;
  return null;
}

function moved(field, name) {
  return field.distances[name]?.corrected ?? null;
}

function severityOf(field, view) {
  const here = alerts.filter((alert) =>
    alert.model === view.model && alert.model_version === view.window.version &&
    (alert.slice === view.window.slice || !view.window.slice) &&
    alert.subject.kind === field.kind && alert.subject.name === field.name);
  return here[0]?.severity ?? null; // the gravest comes first
}

function showFields(view) {
  const by = measure(view);
  const fields = [...view.fields].sort((a, b) =>
    (moved(b, by) ?? -1) - (moved(a, by) ?? -1) || a.name.localeCompare(b.name));
  const empty = fields.length ? "" : view.window ? "No predictions of this choice in the window." : "No window is complete yet.";
  say($("no-fields"), empty);
  $("no-fields").hidden = !empty;
  const full = Math.max(FULL_BAR, ...fields.map((field) => moved(field, by) ?? 0));
  const selected = fields.find((field) => fieldKey(field) === chosen.field) ?? fields[0];
  keep($("fields"), fields, fieldKey, makeField, (row, field) => {
    const here = field === selected;
    mark(row, "aria-selected", here);
    row.tabIndex = here ? 0 : -1;
    mark(row, "data-severity", severityOf(field, view));
    const value = moved(field, by);
    part(row, "fill").style.setProperty("--share", String(Math.max(0, value ?? 0) / full));
    say(row.querySelector("output"), distance(value));
    row.querySelector("output").classList.toggle("dim", !(value >= 0.0005));
    const [, , missing, strange, mean, reference] = row.children;
    showShare(missing, field.missing, field.reference_missing);
    showShare(strange, field.out_of_range ?? field.unseen, 0);
    say(mean, number(field.mean));
    say(reference, number(field.reference_mean));
    row.onclick = (event) => {
      choose({ field: fieldKey(field) });
      // Keys go on from row to row; a pointer wants to see what it asked for.
      if (event.detail && narrow.matches) $("detail").scrollIntoView({ behavior: "smooth", block: "nearest" });
    };
  });
  return selected;
}

function kindOf(field) {
  const kind = field.kind === "feature" ? field.type : field.kind;
  return kind === field.name ? "" : kind;
}

function makeField(field) {
  const head = make("th", "", make("span", "name", field.name), make("small", "", kindOf(field)));
  head.scope = "row";
  head.title = field.name;
  const gauge = make("div", "gauge", make("div", "track", make("div", "fill")), make("output"));
  const cells = [make("td", "drift", gauge)];
  for (const more of ["", "", "", " dim"]) cells.push(make("td", `number${more}`));
  return make("tr", "", head, ...cells);
}

function showShare(cell, share, usual) {
  say(cell, percent(share));
  // Worth a look: over one in a hundred, and over twice what the reference had.
  cell.classList.toggle("raised", share > 0.01 && share > 2 * (usual ?? 0));
  cell.classList.toggle("dim", !share);
}

function showDetail(field) {
  $("detail").hidden = !field;
  if (!field) return;
  mark($("detail"), "data-type", field.type);
  if ($("detail").dataset.key !== fieldKey(field)) {
    $("detail").dataset.key = fieldKey(field);
    $("chart").replaceChildren();
    say($("readout"), "");
    $("detail-name").replaceChildren(field.name, make("small", "", kindOf(field)));
  }
  showChart(field);
  const facts = Object.entries(field.distances[measure(shown)] ?? {});
  const names = { raw: "distance, raw", corrected: "less chance", p_value: "p-value" };
  const figures = facts.map(([name, value]) => [names[name], name === "p_value" ? pValue(value) : distance(value)]);
  figures.push(["values", count(field.count)]);
  const usual = field.reference_missing == null ? "" : ` (reference ${percent(field.reference_missing)})`;
  if (field.missing || field.reference_missing) figures.push(["missing", `${percent(field.missing)}${usual}`]);
  if (field.wrong_type) figures.push(["wrong type", percent(field.wrong_type)]);
  if (field.type === "numeric") {
    figures.push(["standard deviation", number(field.std)], ["range", `${number(field.minimum)} to ${number(field.maximum)}`]);
    for (const [q, value] of field.quantiles) figures.push([q === 0.5 ? "median" : `${figure.format(q * 100)} % below`, number(value)]);
  }
  keep($("detail-figures"), figures, ([name]) => name, ([name]) => make("div", "figure", make("span", "", name), make("b")), (node, [, text]) => say(node.lastChild, text));
  $("unseen").hidden = field.unseen_values.length === 0;
  keep($("unseen-values"), field.unseen_values, ([value]) => value, ([value]) => make("li", "", value, make("small")), (node, [, n]) => say(node.lastChild, count(n)));
}

// --- Performance ------------------------------------------------------------------------------

function showPerformance(view) {
  const found = view.performance;
  $("performance").hidden = !found;
  if (!found) return;
  const { join, realised, cohort, labelled } = found;
  const facts = [["labels in the window", count(realised?.samples ?? 0)]];
  if (cohort?.coverage != null) facts.push(["labelled in the end", percent(cohort.coverage)]);
  const delays = new Map(found.delay_seconds ?? []);
  if (delays.size) {
    facts.push(["label delay", `${span(delays.get(0.5) * 1000)} median, 95 % within ${span(delays.get(0.95) * 1000)}`]);
  }
  facts.push(["predictions waiting", count(join.pending)]);
  if (join.expired) facts.push(["never labelled", count(join.expired)]);
  if (join.waiting) facts.push(["labels waiting", count(join.waiting)]);
  if (join.orphans + join.late) facts.push(["labels without a prediction", count(join.orphans + join.late)]);
  showFacts($("label-facts"), facts);

  const empty = waitedFor(found);
  $("no-labels").hidden = !empty;
  say($("no-labels"), empty);
  const metrics = labelled || found.estimated?.samples ? found.metrics : [];
  $("performance-table").hidden = metrics.length === 0;
  const main = metrics.filter((line) => MAIN_METRICS.includes(line.metric));
  const more = $("more-metrics");
  more.hidden = main.length === 0 || main.length === metrics.length;
  say(more, allMetrics ? "Show the main figures" : `Show all ${metrics.length} figures`);
  mark(more, "aria-expanded", String(allMetrics));
  more.onclick = () => {
    allMetrics = !allMetrics;
    showPerformance(view);
  };
  keep($("metrics"), allMetrics || !main.length ? metrics : main, (line) => line.metric, makeMetric, showMetric);
  say($("performance-dates"), metrics.length ? dates(found) : "");
}

// What there is to wait for, "" where labels have come in the window.
function waitedFor(found) {
  if (found.realised?.samples) return "";
  const until = `a label is joined up to ${span(found.max_delay_seconds * 1000)} after its prediction`;
  const waiting = `${count(found.join.pending)} predictions of the model wait for theirs; ${until}.`;
  if (!found.labelled) return `No labels yet: ${waiting}`;
  return found.realised ? `No label came in this window: ${waiting}` : `Labels have come, but no window of them is complete yet.`;
}

function dates({ realised, cohort }) {
  const period = (start, end) => `${clockTime(start, true)} to ${clockTime(end, true)} UTC`;
  const parts = [];
  if (realised) parts.push(`Now: labels that came ${period(realised.start, realised.end)}.`);
  if (cohort) parts.push(`Weighted: predictions made ${period(cohort.start, cohort.end)}, ${count(cohort.labelled)} of ${count(cohort.predicted)} labelled so far.`);
  if (cohort?.matured_end) parts.push(`Matured: predictions made ${period(cohort.matured_start, cohort.matured_end)}, ${percent(cohort.coverage)} of them labelled.`);
  return parts.join(" ");
}

const metricName = (metric) => METRIC_NAMES[metric] ?? metric.replaceAll("_", " ");
const interval = (line) => (line?.lower == null || line.upper == null ? "" : `${score(line.lower)} to ${score(line.upper)}`);

function score(value) {
  if (value == null) return MISSING;
  return Math.abs(value) < 10 ? value.toFixed(3) : number(value);
}

function makeMetric(line) {
  const head = make("th", "", make("span", "name", metricName(line.metric)));
  head.scope = "row";
  const range = make("td", "range", make("div", "interval", make("div", "span95"), make("div", "at"), make("div", "then")));
  const now = make("td", "number", make("span"), make("small", "limits"));
  const others = ["number dim", "number dim", "number", "number dim", "number dim"].map((name) => make("td", name));
  return make("tr", "", head, now, range, ...others);
}

function showMetric(row, line) {
  const [, now, range, reference, estimated, gap, weighted, matured] = row.children;
  const { realised, reference: usual } = line;
  say(now.firstChild, score(realised?.value));
  say(now.lastChild, interval(realised));
  // Worth a look: the reference is not what chance alone makes of these labels.
  const outside = realised && usual && (usual.value < realised.lower || usual.value > realised.upper);
  now.classList.toggle("raised", Boolean(outside));
  now.classList.toggle("dim", !realised);
  showInterval(range.firstChild, realised, usual);
  say(reference, score(usual?.value));
  say(estimated, score(line.estimated?.value));
  say(gap, line.gap == null ? MISSING : `${line.gap > 0 ? "+" : ""}${score(line.gap)}`);
  gap.classList.toggle("dim", line.gap == null);
  say(weighted, score(line.weighted?.value));
  say(matured, score(line.matured?.value));
  for (const [cell, figure_] of [[reference, usual], [estimated, line.estimated], [weighted, line.weighted], [matured, line.matured]]) {
    mark(cell, "title", interval(figure_) ? `95 % interval ${interval(figure_)}` : null);
  }
}

// Each row has a scale of its own that holds the interval and the reference, with some room.
function showInterval(node, now, usual) {
  const ends = [now?.lower, now?.upper, now?.value, usual?.value].filter((value) => value != null);
  node.hidden = now?.value == null;
  if (node.hidden) return;
  const low = Math.min(...ends);
  const width = Math.max(...ends) - low || 1;
  const place = (value) => `${(8 + (84 * (value - low)) / width).toFixed(2)}%`;
  const bar = part(node, "span95");
  bar.style.setProperty("--from", place(now.lower ?? now.value));
  bar.style.setProperty("--to", place(now.upper ?? now.value));
  part(node, "at").style.setProperty("--from", place(now.value));
  part(node, "then").hidden = usual?.value == null;
  if (usual?.value != null) part(node, "then").style.setProperty("--from", place(usual.value));
}

// --- Distributions ----------------------------------------------------------------------------

function groupsOf(field) {
  const { names, counts, reference } = field.groups;
  const sum = (values) => values.reduce((a, b) => a + b, 0) || 1;
  const now = sum(counts);
  const then = reference && sum(reference);
  return names.map((name, i) => ({
    key: String(i), name, now: counts[i] / now, then: reference ? reference[i] / then : null,
  }));
}

function showChart(field) {
  const chart = $("chart");
  const groups = field.groups && field.count ? groupsOf(field) : [];
  if (!groups.length) {
    chart.replaceChildren(make("p", "empty", "No values in this window."));
    return;
  }
  if (!chart.firstElementChild?.matches(".columns, .bars")) chart.replaceChildren();
  if (field.type === "numeric") showColumns(chart, groups, field.groups.cuts);
  else showBars(chart, groups);
}

const told = (group) =>
  `${group.name}: ${percent(group.now)} now` + (group.then == null ? "" : `, ${percent(group.then)} in the reference`);

function setShares(node, group, most) {
  part(node, "now").style.setProperty("--now-share", String(group.now / most));
  part(node, "then").hidden = group.then == null;
  part(node, "then").style.setProperty("--then-share", String((group.then ?? 0) / most));
}

function showColumns(chart, groups, cuts) {
  let columns = part(chart, "columns");
  if (!columns) {
    columns = make("div", "columns");
    columns.tabIndex = 0;
    columns.role = "group";
    columns.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...columns.children];
      const here = all.findIndex((node) => node.dataset.here);
      point(all[Math.min(Math.max(here < 0 ? 0 : here + step, 0), all.length - 1)]);
    };
    columns.onmouseleave = () => point(null);
    columns.onblur = () => point(null);
    chart.append(columns, make("div", "axis"));
  }
  mark(columns, "aria-label", `Shares of ${groups.length} ranges; arrow keys read them out`);
  const most = Math.max(...groups.flatMap((group) => [group.now, group.then ?? 0])) * 1.06;
  const create = () => make("div", "column", make("div", "now"), make("div", "then"));
  keep(columns, groups, (group) => group.key, create, (node, group) => {
    setShares(node, group, most);
    node.dataset.told = told(group);
    node.onmouseenter = () => point(node);
  });
  const at = (share) => number(cuts[Math.round(share * (cuts.length - 1))]);
  const marks = cuts.length < 3 ? groups.map((group) => group.name)
    : [`< ${at(0)}`, at(1 / 3), at(2 / 3), `≥ ${at(1)}`];
  keep(part(chart, "axis"), marks.map((text, i) => [String(i), text]), ([i]) => i, () => make("span"), (node, [, text]) => say(node, text));
}

function point(column) {
  for (const node of document.querySelectorAll(".column[data-here]")) delete node.dataset.here;
  if (column) column.dataset.here = "here";
  say($("readout"), column?.dataset.told ?? "");
}

function showBars(chart, groups) {
  let bars = part(chart, "bars");
  if (!bars) chart.append((bars = make("ul", "bars")));
  const weight = (group) => Math.max(group.now, group.then ?? 0);
  const ordered = [...groups].sort((a, b) => (b.then ?? b.now) - (a.then ?? a.now));
  const kept = new Set([...groups].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_CATEGORIES));
  const most = Math.max(...groups.map(weight));
  const create = () => make("li", "row", make("span", "label"), make("span", "bar", make("span", "now"), make("span", "then")), make("span", "share"), make("span", "share dim"));
  keep(bars, ordered.filter((group) => kept.has(group)), (group) => group.key, create, (node, group) => {
    setShares(node, group, most);
    say(part(node, "label"), group.name);
    node.title = told(group);
    const [now, then] = node.querySelectorAll(".share");
    say(now, percent(group.now));
    say(then, percent(group.then));
  });
  say($("readout"), groups.length > kept.size ? `and ${groups.length - kept.size} smaller` : "");
}

// --- Refresh ----------------------------------------------------------------------------------

async function read(path) {
  const answer = await fetch(`api/v1/${path}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  const mine = ++turn;
  clearTimeout(timer);
  try {
    const [status, firing, { models }] = await Promise.all([read("status"), read("alerts"), read("models")]);
    const name = models.some((model) => model.model === chosen.model) ? chosen.model : models[0]?.model;
    const query = new URLSearchParams();
    for (const key of ["window", "version", "slice"]) if (chosen[key]) query.set(key, chosen[key]);
    const view = name == null ? null : await read(`models/${encodeURIComponent(name)}?${query}`);
    if (mine === turn) show(status, firing.alerts, models, view);
  } catch (error) {
    if (mine === turn) showTrouble(error);
  }
  if (mine === turn) timer = setTimeout(refresh, EVERY_MS);
}

function show(status, firing, models, view) {
  alerts = firing;
  shown = view;
  document.querySelector("main").classList.remove("stale");
  showStatus(status);
  showAlerts(new Map(models.map((model) => [model.model, Date.parse(model.event_time)])));
  $("waiting").hidden = view != null;
  $("model").hidden = view == null;
  if (!view) return;
  showTabs(models);
  showControls(view);
  showPerformance(view);
  showDetail(showFields(view));
}

function showTrouble(error) {
  mark($("state"), "data-state", "down");
  say($("state"), "No answer");
  document.title = "(!) Streamgauge";
  document.querySelector("main").classList.add("stale");
  say($("updated"), `${$("updated").textContent.split(";")[0]}; no answer now (${error.message})`);
}

$("fields").onkeydown = (event) => {
  const rows = [...$("fields").children];
  const here = rows.indexOf(document.activeElement);
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (here < 0 || !(to in rows)) return;
  event.preventDefault();
  rows[to].focus();
  rows[to].click();
};

addEventListener("hashchange", () => {
  for (const name of Object.keys(chosen)) delete chosen[name];
  Object.assign(chosen, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  refresh();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});

refresh();
