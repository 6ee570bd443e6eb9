import { ask, make, named, number, say, showSame, upload } from "./app.js";
import { chart } from "./chart.js";
import { curvesOf, legend, start } from "./job.js";

const form = document.getElementById("form"), shown = document.getElementById("shown"), compare = document.getElementById("compare");
const chosen = new Set();
const request = (data = null) => ({ kind: "train", recipe: form.elements.recipe.value, minutes: number(form, "minutes"), steps: number(form, "steps"), seed: number(form, "seed") ?? 0, data_upload: data });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start(form, async () => { const file = form.elements.data.files[0]; return request(file ? await upload(file) : null); }).then(list);
});
showSame(form, () => request(form.elements.data.files.length ? named(form.elements.data, "crystals.csv") : null));

const WORK = { predict: "Predict", generate: "Generate", solve: "Solve", train: "Train" };
const when = (time) => make("time", { datetime: new Date(time).toISOString() }, new Date(time).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }));
const state = (word) => make("span", { class: `badge ${word}` }, word);

/** What a piece of work was asked, in a few words. */
function asked(request) {
  const what = request.formulas?.length ? request.formulas.join(" ") : request.formula ?? (request.elements?.length ? request.elements.join("-") : request.model ?? request.recipe ?? "a table");
  const conditions = Object.entries(request.conditions ?? {}).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return `${WORK[request.kind] ?? request.kind}: ${[what, ...conditions].join(", ")}`;
}

let last;
async function list() {
  const [jobs, runs] = await Promise.all([ask("/jobs?limit=20"), ask("/runs")]);
  const now = JSON.stringify([jobs, runs]);
  if (now === last) return;  // a table that is made anew loses the keyboard's place
  last = now;
  if (jobs.length) {
    document.getElementById("jobs").replaceChildren(table(["work", "started", "state"], jobs.map((job) => [make("a", { href: `/jobs/${job.id}` }, asked(job.request)), when(job.made), state(job.state)])));
  }
  document.getElementById("runs").replaceChildren(runs.length ? table(["", "run", "data", "steps", "validation loss", "state", "changed"], runs.map((run) => [
    make("input", { type: "checkbox", "aria-label": `choose ${run.name}`, checked: chosen.has(run.name), onchange: (event) => choose(run.name, event.target.checked) }),
    make("a", { href: `#${encodeURIComponent(run.name)}`, title: run.model ?? "" }, run.name.replace(/^page\/jobs\/[^/]+\/out\//, "")), run.data ?? "–", run.of_steps ? `${run.steps} of ${run.of_steps}` : "–",
    run.best_validation == null ? "–" : run.best_validation.toFixed(3), state(run.state), when(run.changed * 1000)]))
    : make("p", { class: "empty" }, "No run is here yet. Train the recipe smoke above: it takes about a minute."));
}

function choose(name, on) {
  if (on) chosen.add(name); else chosen.delete(name);
  compare.disabled = chosen.size < 2;
}

function table(header, rows) {
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...header.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell instanceof Node ? cell : String(cell))))))));
}

async function open(name) {
  const run = await ask(`/runs/${name}`);
  const parts = [make("h2", {}, name), curvesOf(run)];
  if (run.summary.length) parts.push(make("pre", {}, run.summary.join("\n")));
  if (run.report) parts.push(make("iframe", { src: `/api/v1/reports/${name}`, title: `Report of ${name}`, sandbox: "allow-scripts allow-downloads" }));
  if (run.recipe) parts.push(make("details", {}, make("summary", {}, "Recipe"), make("pre", {}, run.recipe)));
  show(parts);
}

async function side() {
  const { runs, differences } = await ask(`/comparison?${[...chosen].map((name) => `run=${encodeURIComponent(name)}`).join("&")}`);
  const short = (name) => name.split("/").at(-1), names = runs.map((run) => (runs.filter((other) => short(other.name) === short(run.name)).length > 1 ? run.name : short(run.name)));
  const charts = [];
  for (const [column, title] of [["val_loss", "Validation loss"], ["loss", "Training loss"]]) {
    const lines = Object.fromEntries(runs.map((run, k) => [names[k], run.curves[column] ?? []]).filter(([, points]) => points.length));
    if (Object.keys(lines).length) charts.push(make("div", { class: "card" }, make("h2", {}, title), chart(lines, "training step", "loss", title), legend(Object.keys(lines))));
  }
  const parts = [make("h2", {}, "Comparison"), make("div", { class: "columns" }, ...charts)];
  parts.push(make("div", { class: "card" }, make("h2", {}, "Where the recipes differ"), differences.length
    ? table(["key", ...names], differences.map(([key, ...values]) => [make("code", {}, key), ...values.map((value) => make("code", {}, value))])) : make("p", { class: "empty" }, "Nowhere: the same recipe.")));
  const said = runs.filter((run) => run.summary.length);
  if (said.length) parts.push(make("div", { class: "columns" }, ...said.map((run) => make("div", { class: "card" }, make("h2", {}, names[runs.indexOf(run)]), make("pre", {}, run.summary.join("\n"))))));
  show(parts);
}

function show(parts) {
  shown.replaceChildren(...parts);
  shown.hidden = false;
  shown.scrollIntoView({ behavior: "smooth" });
}

compare.addEventListener("click", () => side().catch((error) => say(error.message)));
const fromAddress = () => { if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1))).catch((error) => say(error.message)); };
addEventListener("hashchange", fromAddress);
list().then(fromAddress).catch((error) => say(error.message));
setInterval(() => { if (!chosen.size && !document.hidden && !document.activeElement?.closest("#runs, #jobs")) list().catch(() => {}); }, 5000);
