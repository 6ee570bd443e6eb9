// One piece of work: its state, what came out so far, the crystal that is looked at.
import { ask, duration, figure, formula, group, make, say } from "./app.js";
import { chart, colour, fitChart } from "./chart.js";
import { CrystalView } from "./viewer.js";

const WORDS = { queued: "Waiting for its turn", running: "Working", done: "Done", failed: "Failed", cancelled: "Cancelled", interrupted: "Interrupted" };
const ENDED = ["done", "failed", "cancelled", "interrupted"];

export class JobView {
  constructor(parent, id) {
    [this.parent, this.id, this.rows, this.size] = [parent, id, [], -1];
    parent.hidden = false;
    this.what = make("p", { class: "what" });
    this.now = make("p", { class: "now", "aria-live": "polite" });
    this.cancel = make("button", { type: "button", onclick: () => this.act("cancel") }, "Cancel");
    this.resume = make("button", { type: "button", hidden: true, onclick: () => this.act("resume") }, "Resume");
    this.bar = make("div", { class: "bar busy" }, make("i"));
    this.problem = make("p", { class: "problem", hidden: true });
    this.body = make("div");
    const link = make("a", { href: `/jobs/${id}` }, "Link to this work");
    parent.replaceChildren(make("div", { class: "card" },
      make("div", { class: "state" }, make("div", {}, this.what, this.now), make("div", { class: "tools" }, this.cancel, this.resume, link)),
      this.bar, this.problem), this.body);
    this.listen();
  }

  listen() {
    this.events?.close();
    this.events = new EventSource(`/api/v1/jobs/${this.id}/events`);
    this.events.onmessage = (event) => this.update(JSON.parse(event.data));
    // the stream ends with the work; the browser would ask again for ever
    this.events.onerror = () => { if (ENDED.includes(this.state)) this.events.close(); };
  }

  async update(job) {
    this.state = job.state;
    this.what.textContent = `${WORDS[job.state]}${job.seconds ? ` ${job.state === "done" ? "in" : "after"} ${duration(job.seconds)}` : ""}`;
    this.now.textContent = job.state === "failed" || job.state === "done" ? "" : job.progress || (job.state === "running" ? "Starting …" : "");
    const over = ENDED.includes(job.state);
    this.bar.className = `bar ${over ? (job.state === "done" ? "ended" : "bad") : "busy"}`;
    this.cancel.hidden = over;
    this.resume.hidden = !over || job.state === "done";
    this.problem.hidden = !job.message;
    this.problem.textContent = job.message;
    this.kind = job.kind;
    this.parent.dataset.state = job.state;
    if (over) this.events.close();
    if (job.kind === "train") await this.training(job, over);
    else if (job.size !== this.size || over) { this.size = job.size; await this.crystals(over); }
  }

  async act(what) {
    try { await ask(`/jobs/${this.id}/${what}`, {}); this.listen(); } catch (error) { say(error.message); }
  }

  async crystals(over) {
    let found;
    try { found = await ask(`/jobs/${this.id}/crystals?limit=60&offset=${this.rows.length}`); } catch (error) { say(error.message); return; }
    if (!this.list && found.rows.length) this.open();
    for (const row of found.rows) this.add(row);
    this.summary(found);
    if (this.state === "done") this.now.textContent = `${found.total} ${found.total === 1 ? "crystal" : "crystals"}${found.total > this.rows.length ? `, the first ${this.rows.length} of them here; all in samples.csv` : ""}`;
    if (over) await this.files(found);
  }

  open() {
    this.list = make("ul", { class: "list" });
    const view = make("div", { class: "card" });
    this.top = make("div");
    const measure = { predict: "probability", solve: "Rwp" }[this.kind] ?? "";
    const title = { predict: "Crystals, the likeliest first", solve: "Crystals, the best explanation first" }[this.kind] ?? "Crystals";
    this.body.replaceChildren(this.top, make("div", { class: "split found" },
      make("div", { class: "card" }, make("div", { class: "heads" }, make("h2", {}, title),
        make("small", { title: measure === "Rwp" ? "weighted difference of measured and computed curve; 0 is perfect" : "that the composition takes this structure" }, measure)), this.list), view));
    this.view = new CrystalView(view);
  }

  /** The fit of the best candidate of a solved pattern, above the crystals. */
  async fit() {
    const fit = await ask(`/jobs/${this.id}/fit`);
    const word = { solved: "Solved", doubtful: "Doubtful", mixture: "Perhaps a mixture" }[fit.verdict] ?? fit.verdict;
    this.top.append(make("div", { class: "card" }, make("h2", {}, `${word}: `, formula(fit.formula)), make("p", { class: "says" }, fit.sentences.join(" ")),
      fitChart(fit), make("p", { class: "says" }, "Measured curve without its background; the difference is drawn below the zero line. ",
        fit.unexplained.length ? `Peaks that no line explains: ${fit.unexplained.slice(0, 8).map((x) => x.toFixed(2)).join(", ")}°.` : "Every peak is explained.")));
  }

  add(row) {
    const sure = row.probability ? `${(100 * Number(row.probability)).toFixed(1)} %` : "";
    const fitted = row.rwp ? Number(row.rwp).toFixed(3) : "";
    const thumb = make("span", { class: "thumb" });
    const where = origin(row.origin) || (row.condition ? `asked for ${words(row.condition)}` : `sample ${Number(row.id) || row.id}`);
    const button = make("button", { type: "button", onclick: () => this.choose(item, row) }, thumb,
      make("span", {}, row.rank ? `${row.rank}. ` : "", formula(row.formula), row.group ? " · " : "", group(row.group)), make("span", { class: "sure" }, fitted || sure), make("small", {}, where));
    const item = make("li", {}, button);
    this.list.append(item);
    this.rows.push(row);
    this.picture(thumb, row);
    if (this.rows.length === 1) this.choose(item, row);
  }

  async picture(place, row) {
    try {
      const template = document.createElement("template");
      template.innerHTML = await ask("/picture", { cif: row.cif });
      place.append(template.content);
    } catch { /* the list is readable without its picture */ }
  }

  choose(item, row) {
    this.list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    item.setAttribute("aria-current", "true");
    const more = [["Origin", origin(row.origin)], ["Why here", row.why], ["String", row.slices], ["Log-likelihood", row.log_prob && figure(row.log_prob)], ["Explains", row.explained && `${Math.round(100 * row.explained)} % of the measured intensity`]];
    this.view.show(row.cif, row.id || row.formula, more.filter(([, text]) => text));
  }

  summary(found) {
    const funnel = make("div", { class: "funnel" });
    for (const [what, count] of found.funnel) {
      const share = make("i", { style: `width:${(100 * count) / (found.funnel[0][1] || 1)}%` });
      funnel.append(make("span", {}, what), make("span", { class: "track" }, share), make("span", { class: "n" }, String(count)));
    }
    const reasons = found.reasons.map(([reason, count]) => make("li", {}, `${count} × ${reason}`));
    const parts = [found.funnel.length ? make("h2", {}, "What became of the samples") : null, found.funnel.length ? funnel : null, reasons.length ? make("details", { open: !found.total }, make("summary", {}, found.total ? "Why the others failed" : "Why there is none"), make("ul", {}, ...reasons)) : null];
    (this.top ?? this.body).replaceChildren(...(parts.some(Boolean) ? [make("div", { class: "card" }, ...parts.filter(Boolean))] : []));
  }

  async files(found) {
    const names = await ask(`/jobs/${this.id}/files`);
    if (names.includes("fits/000000.csv") && this.top) await this.fit();
    const shown = names.filter((name) => !name.includes("/") && !name.endsWith(".request.json")).slice(0, 40);
    const links = shown.map((name) => make("li", {}, make("a", { href: `/api/v1/jobs/${this.id}/files/${name.split("/").map(encodeURIComponent).join("/")}` }, name)));
    this.downloads?.remove();
    this.downloads = make("details", {}, make("summary", {}, `Files to take along (${names.filter((name) => name.endsWith(".cif")).length} CIF files in the folder)`), make("ul", {}, ...links));
    this.body.append(this.downloads);
    if (!found.total && !found.reasons.length && this.state === "done") this.body.prepend(make("p", { class: "empty" }, "No crystal came out."));
  }

  async training(job, over) {
    const log = make("pre", {}, (await ask(`/jobs/${this.id}/log`)).replace(/[^\n]*\r(?!\n)/g, ""));
    const name = (await ask("/runs")).find((run) => run.name.includes(this.id) && run.files.includes("recipe.yaml"))?.name;
    const parts = [];
    if (name) {
      const run = await ask(`/runs/${name}`);
      parts.push(curvesOf(run));
      if (run.report) parts.push(make("p", {}, make("a", { href: `/runs#${encodeURIComponent(name)}` }, "Open the report of this run")));
    }
    this.body.replaceChildren(...parts, make("details", { open: over && job.state !== "done" }, make("summary", {}, "Log"), log));
  }
}

export function curvesOf(run) {
  const curves = run.curves, lines = {};
  for (const name of ["loss", "val_loss"]) if (curves[name]?.length) lines[name === "loss" ? "training" : "validation"] = curves[name];
  if (!Object.keys(lines).length) return make("p", { class: "empty" }, "No step was logged yet. The first takes a moment: the crystals are written as strings first.");
  const last = Object.entries(lines).map(([name, points]) => `${name} ${figure(points.at(-1)[1])}`).join(", ");
  return make("div", { class: "card" }, make("h2", {}, "Loss"), chart(lines, "training step", run.unit ?? "loss", `Loss over steps: ${last}`), legend(Object.keys(lines)),
    make("p", { class: "says" }, `At step ${points(lines)}: ${last}. Lower is better; validation crystals are not trained on.`));
}

export function legend(names) { return make("div", { class: "legend lines" }, ...names.map((name, k) => make("span", {}, make("i", { style: `background:${colour(k)}` }), name))); }

function points(lines) { return Math.max(...Object.values(lines).map((line) => line.at(-1)[0])); }

/** Where a candidate comes from, in a chemist's words. */
function origin(text) {
  return (text ?? "").replace(/^template (\S+) \((.*)\)$/, "structure type of $1 ($2)");
}

/** Name and unit of a property as people know them. */
const PROPERTIES = {
  band_gap: ["band gap", "eV"], formation_energy_per_atom: ["formation energy", "eV/atom"], e_above_hull: ["energy above the hull", "eV/atom"],
  bulk_modulus: ["bulk modulus", "GPa"], shear_modulus: ["shear modulus", "GPa"], space_group: ["space group", "1 to 230"], density: ["density", "g/cm³"],
};
export function property(name) { return PROPERTIES[name] ?? [name.replaceAll("_", " "), ""]; }

function words(condition) {
  try { return Object.entries(JSON.parse(condition)).map(([name, value]) => `${property(name.replace("properties.", ""))[0]} ${typeof value === "number" ? figure(value) : JSON.stringify(value).replace(/["{}]/g, "")} ${property(name.replace("properties.", ""))[1]}`.trim()).join(", "); } catch { return condition; }
}

/** Start the work of a form and show it; the button waits meanwhile. */
export async function start(form, request) {
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    const job = await ask("/jobs", await request());
    const place = document.getElementById("job");
    const view = new JobView(place, job.id);
    place.scrollIntoView({ behavior: "smooth", block: "nearest" });
    return view;
  } catch (error) {
    say(error.message);
    return null;
  } finally {
    button.disabled = false;
  }
}
