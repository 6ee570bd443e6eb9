import { ask, make, number, say, showSame, upload } from "./app.js";
import { chart, colour } from "./chart.js";
import { curvesOf, start } from "./job.js";

const form = document.getElementById("form"), shown = document.getElementById("shown"), compare = document.getElementById("compare");
const chosen = new Set();
const request = (data = null) => ({ kind: "train", recipe: form.elements.recipe.value, minutes: number(form, "minutes"), steps: number(form, "steps"), seed: number(form, "seed") ?? 0, data_upload: data });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start(form, async () => { const file = form.elements.data.files[0]; return request(file ? await upload(file) : null); }).then(list);
});
showSame(form, request);

async function list() {
  const [jobs, runs] = await Promise.all([ask("/jobs?limit=20"), ask("/runs")]);
  if (jobs.length) {
    document.getElementById("jobs").replaceChildren(table(["started", "work", "state"], jobs.map((job) => [new Date(job.made).toLocaleString(),
      make("a", { href: `/jobs/${job.id}` }, job.command.replace(/ -o \S+$/, "").slice(0, 90)), job.state])));
  }
  document.getElementById("runs").replaceChildren(runs.length ? table(["", "folder", "last step", "report"], runs.map((run) => [
    make("input", { type: "checkbox", "aria-label": `choose ${run.name}`, onchange: (event) => choose(run.name, event.target.checked) }),
    make("a", { href: `#${encodeURIComponent(run.name)}` }, run.name), run.steps ?? "–", run.report ? "yes" : "–"])) : make("p", { class: "empty" }, "No run folder is there yet."));
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
  shown.replaceChildren(...parts);
  shown.hidden = false;
  shown.scrollIntoView({ behavior: "smooth" });
}

async function side() {
  const { runs } = await ask(`/comparison?${[...chosen].map((name) => `run=${encodeURIComponent(name)}`).join("&")}`);
  const parts = [make("h2", {}, "Comparison")];
  for (const [column, title] of [["val_loss", "Validation loss"], ["loss", "Training loss"]]) {
    const lines = Object.fromEntries(runs.filter((run) => run.curves[column]?.length).map((run) => [run.name, run.curves[column]]));
    if (!Object.keys(lines).length) continue;
    parts.push(make("div", { class: "card" }, make("h2", {}, title), chart(lines, "step", "loss", title),
      make("div", { class: "legend" }, ...Object.keys(lines).map((name, k) => make("span", {}, make("i", { style: `background:${colour(k)}` }), name)))));
  }
  for (const run of runs.slice(1)) {
    const lines = run.differences.map((line) => make("div", { class: line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : "" }, line || " "));
    parts.push(make("details", { open: true }, make("summary", {}, `Recipe of ${run.name} beside ${runs[0].name}`), make("pre", { class: "diff" }, ...(lines.length ? lines : ["no difference"]))));
  }
  shown.replaceChildren(...parts);
  shown.hidden = false;
  shown.scrollIntoView({ behavior: "smooth" });
}

compare.addEventListener("click", () => side().catch((error) => say(error.message)));
const fromAddress = () => { if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1))).catch((error) => say(error.message)); };
addEventListener("hashchange", fromAddress);
list().then(fromAddress).catch((error) => say(error.message));
setInterval(() => { if (!chosen.size && !document.hidden) list().catch(() => {}); }, 5000);
