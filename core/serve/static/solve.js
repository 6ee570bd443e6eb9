import { showSame, upload } from "./app.js";
import { start } from "./job.js";

const form = document.getElementById("form");
const request = (id = "UPLOAD") => ({ kind: "solve", pattern_upload: id, formula: form.elements.formula.value.trim() || null,
  elements: form.elements.elements.value.split(/[\s,;]+/).filter(Boolean), wavelength: form.elements.wavelength.value });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start(form, async () => request(await upload(form.elements.pattern.files[0])));
});
showSame(form, request);
