import { ask, copy, make, say } from "./app.js";
import { CrystalView } from "./viewer.js";

const encode = document.getElementById("encode"), decode = document.getElementById("decode");
const result = document.getElementById("result"), pieces = document.getElementById("pieces"), says = document.getElementById("says");
let view, string = "";

async function show(answer) {
  string = answer.string;
  decode.elements.string.value = string;
  result.hidden = false;
  pieces.replaceChildren(...answer.pieces.map((piece) => {
    const button = make("button", { type: "button", title: piece.says }, piece.text);
    const point = () => {
      pieces.querySelectorAll(".lit").forEach((other) => other.classList.remove("lit"));
      button.classList.add("lit");
      says.textContent = piece.says;
      view?.light(piece.atoms, piece.bond);
    };
    button.addEventListener("click", point);
    button.addEventListener("focus", point);
    button.addEventListener("pointerenter", point);
    return button;
  }));
  says.textContent = answer.reason ? `No crystal: ${answer.reason}` : "Point at a piece of the string, or step through with Tab.";
  const place = document.getElementById("crystal");
  if (!answer.cif) { view = null; place.replaceChildren(make("p", { class: "empty" }, `No crystal: ${answer.reason}`)); return; }
  view = new CrystalView(place, { turning: false, neighbours: true });
  await view.show(answer.cif, "crystal");
}

async function send(form, path, body) {
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try { await show(await ask(path, body)); } catch (error) { say(error.message); } finally { button.disabled = false; }
}

encode.elements.file.addEventListener("change", async () => { encode.elements.cif.value = await encode.elements.file.files[0].text(); });
encode.addEventListener("submit", (event) => {
  event.preventDefault();
  send(encode, "/strings/encode", { cif: encode.elements.cif.value, dialect: encode.elements.dialect.value, space_group: encode.elements.space_group.checked });
});
decode.addEventListener("submit", (event) => { event.preventDefault(); send(decode, "/strings/decode", { string: decode.elements.string.value.trim() }); });
document.querySelectorAll(".try").forEach((button) => button.addEventListener("click", () => {
  const field = button.dataset.string ? decode.elements.string : encode.elements.cif;
  field.value = button.dataset.string ?? document.getElementById("example-cif").textContent.trim();
  button.form.requestSubmit();
}));
document.getElementById("copy").addEventListener("click", () => copy(string, "String"));
