import { named, number, showSame, upload } from "./app.js";
import { start } from "./job.js";

const form = document.getElementById("form");
const request = () => ({ kind: "predict", formulas: form.elements.formulas.value.split(/[\s,;]+/).filter(Boolean), n: number(form, "n") ?? 20, atoms: number(form, "atoms") });
form.elements.table.addEventListener("change", () => { form.elements.formulas.required = !form.elements.table.files.length; });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start(form, async () => {
    const file = form.elements.table.files[0];
    return file ? { ...request(), formulas: [], table_upload: await upload(file) } : request();
  });
});
document.querySelectorAll(".try").forEach((button) => button.addEventListener("click", () => { form.elements.formulas.value = button.value; form.requestSubmit(); }));
showSame(form, () => (form.elements.table.files.length ? { ...request(), formulas: [], table_upload: named(form.elements.table, "table.csv") } : request()));
