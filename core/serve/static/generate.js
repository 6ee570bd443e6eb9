import { ask, make, number, say, showSame } from "./app.js";
import { start } from "./job.js";

const form = document.getElementById("form"), says = document.getElementById("model-says");
const place = document.getElementById("conditions"), fields = document.getElementById("condition-fields");

function request() {
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
  return { kind: "generate", constraints, model: form.elements.model.value, n: number(form, "n") ?? 20, seed: number(form, "seed") ?? 0, conditions,
    temperature: number(form, "temperature"), guidance: number(form, "guidance"), composition_exact: form.elements.composition_exact.checked };
}

async function list() {
  const models = await ask("/models");
  form.elements.model.replaceChildren(...models.map((model) => make("option", { value: model.name }, model.label)));
  if (!models.length) { says.textContent = "No trained model was found. Train one in Runs, e.g. the recipe smoke."; return; }
  await describe();
}

async function describe() {
  says.textContent = "Reading the model …";
  try {
    const model = await ask(`/models/${form.elements.model.value}`);
    says.textContent = `${model.model}${model.atoms ? `; trained on cells of ${model.atoms.join(" to ")} atoms` : ""}`;
    const made = Object.entries(model.properties).map(([name, range]) => make("label", {}, name,
      make("input", { type: "number", step: "any", "data-condition": name, placeholder: range ? `${range[0].toPrecision(3)} to ${range[1].toPrecision(3)}` : "" }),
      make("small", {}, range ? `training data: ${range[0].toPrecision(3)} to ${range[1].toPrecision(3)}` : "")));
    if (model.composition) made.push(make("label", {}, "composition", make("input", { "data-condition": "composition", placeholder: "SrTiO3", spellcheck: "false" }), make("small", {}, "the atoms of the cell")));
    fields.replaceChildren(...made);
    place.hidden = !made.length;
  } catch (error) {
    says.textContent = error.message;
    place.hidden = true;
  }
}

form.elements.model.addEventListener("change", describe);
form.addEventListener("submit", (event) => { event.preventDefault(); start(form, request); });
showSame(form, request);
list().catch((error) => say(error.message));
