import { named, showSame, upload } from "./app.js";
import { start } from "./job.js";

// no field may be called "elements": it would hide those of the form
const form = document.getElementById("form"), fields = form.elements;
const request = (id = named(fields.pattern, "pattern.xy")) => ({ kind: "solve", pattern_upload: id, formula: fields.formula.value.trim() || null,
  elements: fields.symbols.value.split(/[\s,;]+/).filter(Boolean), wavelength: fields.wavelength.value || null });
// one of the two says what the sample holds
for (const [one, other] of [["formula", "symbols"], ["symbols", "formula"]]) {
  fields[one].addEventListener("input", () => { if (fields[one].value.trim()) fields[other].value = ""; });
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start(form, async () => request(await upload(fields.pattern.files[0])));
});
showSame(form, request);
