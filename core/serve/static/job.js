// One piece of work: its state, what came out so far, the crystal that is looked at.
import { ask, figure, make, say } from "./app.js";
import { chart } from "./chart.js";
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
    const link = make("a", { href: `/jobs/${id}` }, "link to this work");
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
    this.what.textContent = `${WORDS[job.state]}${job.seconds ? ` in ${figure(job.seconds)} s` : ""}`;
    this.now.textContent = job.state === "failed" ? "" : job.progress;
    const over = ENDED.includes(job.state);
    this.bar.className = `bar ${over ? (job.state === "done" ? "ended" : "bad") : "busy"}`;
    this.cancel.hidden = over;
    this.resume.hidden = !over || job.state === "done";
    this.problem.hidden = !job.message;
    this.problem.textContent = job.message;
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
    try { found = await ask(`/jobs/${this.id}/crystals?limit=60`); } catch (error) { say(error.message); return; }
    if (!this.list && found.rows.length) this.open();
    if (this.list) for (const row of found.rows.slice(this.rows.length)) this.add(row);
    this.summary(found);
    if (over) await this.files(found);
  }

  open() {
    this.list = make("ul", { class: "list" });
    const view = make("div", { class: "card" });
    this.top = make("div");
    this.body.replaceChildren(this.top, make("div", { class: "split" }, make("div", { class: "card" }, this.list), view));
    this.view = new CrystalView(view);
  }

  add(row) {
    const sure = row.probability ? `${(100 * Number(row.probability)).toFixed(1)} %` : row.rwp ? `Rwp ${figure(row.rwp)}` : "";
    const thumb = make("span", { class: "thumb" });
    const where = row.origin || (row.condition ? `asked for ${words(row.condition)}` : `sample ${row.id}`);
    const group = row.space_group ? ` · space group ${row.space_group}` : "";
    const button = make("button", { type: "button", onclick: () => this.choose(item, row) }, thumb,
      make("span", {}, `${row.rank ? `${row.rank}. ` : ""}${row.formula}${group}`), make("span", { class: "sure" }, sure), make("small", {}, where));
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
    const more = [["Asked", row.reference_id], ["Origin", row.origin], ["Why here", row.why], ["String", row.slices], ["Log-likelihood", row.log_prob && figure(row.log_prob)]];
    this.view.show(row.cif, row.id || row.formula, more.filter(([, text]) => text));
  }

  summary(found) {
    const funnel = make("div", { class: "funnel" });
    for (const [what, count] of found.funnel) {
      const share = make("i", { style: `width:${(100 * count) / (found.funnel[0][1] || 1)}%` });
      funnel.append(make("span", {}, what), make("span", { class: "track" }, share), make("span", { class: "n" }, String(count)));
    }
    const reasons = found.reasons.map(([reason, count]) => make("li", {}, `${count} × ${reason}`));
    const parts = [found.funnel.length ? funnel : null, reasons.length ? make("details", { open: !found.total }, make("summary", {}, "Why the others failed"), make("ul", {}, ...reasons)) : null];
    (this.top ?? this.body).replaceChildren(...(parts.some(Boolean) ? [make("div", { class: "card" }, ...parts.filter(Boolean))] : []));
  }

  async files(found) {
    const names = await ask(`/jobs/${this.id}/files`);
    const shown = names.filter((name) => !name.endsWith(".cif") && !name.endsWith(".request.json")).slice(0, 40);
    const links = shown.map((name) => make("li", {}, make("a", { href: `/api/v1/jobs/${this.id}/files/${name.split("/").map(encodeURIComponent).join("/")}` }, name)));
    this.downloads?.remove();
    this.downloads = make("details", {}, make("summary", {}, `Files (${names.length}; ${found.total} crystals)`), make("ul", {}, ...links));
    this.body.append(this.downloads);
    if (!found.total && !found.reasons.length && this.state === "done") this.body.prepend(make("p", { class: "empty" }, "No crystal came out."));
  }

  async training(job, over) {
    const log = make("pre", {}, await ask(`/jobs/${this.id}/log`));
    const name = (await ask("/runs")).find((run) => run.name.includes(this.id) && run.files.includes("recipe.yaml"))?.name;
    const parts = [];
    if (name) {
      const run = await ask(`/runs/${name}`);
      parts.push(curvesOf(run));
      if (run.report) parts.push(make("p", {}, make("a", { href: `/runs#${encodeURIComponent(name)}` }, "Open the report")));
    }
    this.body.replaceChildren(...parts, make("details", { open: over && job.state !== "done" }, make("summary", {}, "Log"), log));
  }
}

export function curvesOf(run) {
  const curves = run.curves, lines = {};
  for (const name of ["loss", "val_loss"]) if (curves[name]?.length) lines[name === "loss" ? "training" : "validation"] = curves[name];
  if (!Object.keys(lines).length) return make("p", { class: "empty" }, "No step was logged yet.");
  const last = Object.entries(lines).map(([name, points]) => `${name} ${figure(points.at(-1)[1])}`).join(", ");
  return make("div", { class: "card" }, make("h2", {}, "Loss"), chart(lines, "step", "loss", `Loss over steps: ${last}`), make("p", { class: "says" }, `At step ${points(lines)}: ${last}`));
}

function points(lines) { return Math.max(...Object.values(lines).map((line) => line.at(-1)[0])); }

function words(condition) {
  try { return Object.entries(JSON.parse(condition)).map(([name, value]) => `${name} ${typeof value === "number" ? figure(value) : JSON.stringify(value).replace(/["{}]/g, "")}`).join(", "); } catch { return condition; }
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
