// What all rooms share: the interface, messages, the theme, "the same on the command line".
const root = document.documentElement;
const stored = localStorage.getItem("crystalfw-theme");
if (stored) root.dataset.theme = stored;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("crystalfw-theme", root.dataset.theme);
  document.dispatchEvent(new Event("themechange"));
});
if (document.body.dataset.readOnly === "yes") {
  document.querySelectorAll("form button.primary").forEach((button) => { if (button.form.id === "form") button.disabled = true; });
}

/** The answer of the interface; throws its sentence. */
export async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  let answer;
  try {
    const raw = body instanceof Blob;
    answer = await fetch(`/api/v1${path}`, {
      method, body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
      headers: body === undefined || raw ? {} : { "content-type": "application/json" },
    });
  } catch {
    throw new Error("The server does not answer. Is `crystalfw serve` still running?");
  }
  const text = await answer.text();
  const json = (answer.headers.get("content-type") || "").includes("json");
  const content = json ? JSON.parse(text) : text;
  if (!answer.ok) throw new Error(json && content.error ? content.error : `The server answered ${answer.status}.`);
  return content;
}

let hiding;
export function say(text) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.classList.remove("shown"), 6000);
}

/** An element: make("p", {class: "x"}, "text", child). Text never becomes markup. */
export function make(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...content.filter((part) => part !== undefined && part !== null));
  return element;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say("The browser does not allow copying here");
  }
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export async function upload(file) {
  const most = Number(document.body.dataset.maxUpload);
  if (file.size > most) throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MB; at most ${(most / 2 ** 20).toFixed(0)} MB are taken here. The command line takes larger files.`);
  return (await ask(`/uploads/${encodeURIComponent(file.name)}`, file)).id;
}

/** The name of a chosen file as the command line would take it, before it is sent. */
export function named(field, otherwise) {
  return field.files.length ? field.files[0].name.replace(/[^A-Za-z0-9_.-]/g, "_").replace(/^[^A-Za-z0-9]+/, "") || otherwise : otherwise;
}

/** Show the command and the Python lines of a request as the form changes. */
export function showSame(form, request) {
  const command = document.getElementById("same-command"), python = document.getElementById("same-python");
  let waiting;
  const show = async () => {
    try {
      const same = await ask("/preview", request());
      command.textContent = same.command;
      python.textContent = same.python;
    } catch (error) {
      command.textContent = error.message;
      python.textContent = "";
    }
  };
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 250); });
  document.querySelector(".same").addEventListener("toggle", show);
  for (const id of ["same-command", "same-python"]) {
    document.querySelector(`[data-copies=${id}]`).addEventListener("click", () => copy(document.getElementById(id).textContent, "Lines"));
  }
}

export function number(form, name) {
  const value = form.elements[name].value.trim();
  return value === "" ? null : Number(value);
}

/** A formula with its numbers as subscripts. */
export function formula(text) {
  return make("span", { class: "formula" }, ...String(text ?? "").split(/(\d+(?:\.\d+)?)/).map((part, k) => (k % 2 ? make("sub", {}, part) : part)));
}

/** A space group as it is printed: screw axes as subscripts, inversion axes with a bar. */
export function group(text) {
  return make("span", { class: "formula" }, ...String(text ?? "").split(/(_\d|-\d)/).map((part, k) => {
    if (k % 2 === 0) return part;
    // the sign is not seen, but copied: Pm-3m
    return part[0] === "_" ? make("sub", {}, part[1]) : make("span", {}, make("span", { class: "unseen" }, "-"), make("span", { class: "barred" }, part[1]));
  }));
}

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function figure(value) {
  const number = Number(value);
  return Number.isFinite(number) ? String(Number(number.toPrecision(4))) : String(value);
}
