import { ask, make, named, number, say, showSame, upload } from "./app.js";
import { property, start } from "./job.js";

const form = document.getElementById("form"), says = document.getElementById("model-says");
let models = [];
const place = document.getElementById("conditions"), fields = document.getElementById("condition-fields");

const like = () => fields.querySelector("input[type=file]");

function request(crystal = like()?.files.length ? named(like(), "crystal.cif") : null) {
  const conditions = {};
  for (const input of fields.querySelectorAll("input[data-condition]")) {
    const text = input.value.trim();
    if (text) conditions[input.dataset.condition] = input.type === "number" ? Number(text) : text;
  }
  const constraints = {};
  for (const name of ["allowed_elements", "required_elements", "forbidden_elements"]) {
    const symbols = form.elements[name].value.split(/[\s,;]+/).filter(Boolean);
    if (symbols.length) constraints[name] = symbols;
  }
  if (form.elements.charge_balanced.checked) constraints.charge_balanced = true;
  return { kind: "generate", constraints, like_upload: crystal, model: form.elements.model.value, n: number(form, "n") ?? 20, seed: number(form, "seed") ?? 0, conditions,
    temperature: number(form, "temperature"), guidance: number(form, "guidance"), composition_exact: form.elements.composition_exact.checked };
}

async function list() {
  models = await ask("/models");
  form.elements.model.replaceChildren(...models.map((model) => make("option", { value: model.name }, model.label)));
  if (!models.length) { says.textContent = "No trained model was found. Train one in Runs, e.g. the recipe smoke."; return; }
  await describe();
}

async function describe() {
  says.textContent = "Reading the model …";
  try {
    const chosen = form.elements.model.value, model = await ask(`/models/${chosen}`);
    if (chosen !== form.elements.model.value) return;  // another was chosen meanwhile; its answer comes
    const entry = models.find((one) => one.name === form.elements.model.value);
    const trained = model.atoms ? `Trained on cells of ${model.atoms.join(" to ")} atoms. ` : "";
    const each = model.candidates > 1 ? `Each sample is the likeliest of ${model.candidates} strings written for it. ` : "";
    says.textContent = model.generates ? `${trained}${each}${entry?.says ? `How good it is: ${entry.says}.` : ""}` : "This model predicts properties; it generates no crystals. Choose another.";
    form.querySelector("button.primary").disabled = !model.generates || document.body.dataset.readOnly === "yes";
    const made = Object.entries(model.properties).map(([name, range]) => field(name, range));
    if (model.composition) {
      made.unshift(make("label", {}, "Composition", make("input", { "data-condition": "composition", placeholder: "any", spellcheck: "false", autocomplete: "off" }),
        make("small", {}, "the atoms of one cell, e.g. SrTiO3")));
    }
    if (model.geometry) {
      made.unshift(make("label", { class: "file" }, "A crystal to be like", make("input", { type: "file", required: true }),
        make("small", {}, "a CIF, a table or another file of crystals: the model asks for whole crystals")));
    }
    fields.replaceChildren(...made);
    place.hidden = !made.length || !model.generates;
  } catch (error) {
    says.textContent = error.message;
    place.hidden = true;
  }
}

const bound = (value) => String(Number(value.toPrecision(2))).replace("-", "−");

function field(name, range) {
  const [label, unit] = property(name), group = name === "space_group";
  const seen = range ? `seen in training: ${bound(range[0])} to ${bound(range[1])}` : "";
  return make("label", {}, `${label[0].toUpperCase()}${label.slice(1)}${unit && !group ? `, ${unit}` : ""}`,
    make("input", { type: "number", step: group ? "1" : "any", "data-condition": name, placeholder: "any", ...(group ? { min: 1, max: 230 } : {}) }),
    make("small", {}, group ? "its number, 1 to 230" : seen));
}

form.elements.model.addEventListener("change", describe);
form.addEventListener("submit", (event) => { event.preventDefault(); start(form, async () => request(like()?.files.length ? await upload(like().files[0]) : null)); });
showSame(form, () => request());
list().catch((error) => say(error.message));
