// The crystal view: the scene comes from the interface, 3Dmol.js draws and turns it.
import { ask, copy, download, figure, formula, group, make, say } from "./app.js";

let library;
function load3Dmol() {
  library ??= new Promise((resolve, reject) => {
    const script = make("script", { src: "/static/vendor/3Dmol-min.js" });
    script.onload = () => resolve(window.$3Dmol);
    script.onerror = () => reject(new Error("The viewer could not be loaded."));
    document.head.append(script);
  });
  return library;
}

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

export class CrystalView {
  constructor(parent, { turning = !still, neighbours = false } = {}) {
    this.options = { turning, polyhedra: false, neighbours };
    this.picked = [];
    this.canvas = make("div", {
      class: "view", tabindex: "0", role: "img", "aria-label": "Crystal structure; arrow keys turn it, plus and minus zoom",
      onkeydown: (event) => this.key(event),
    });
    this.turn = make("button", { type: "button", "aria-pressed": String(turning), onclick: () => this.toggle("turning", this.turn) }, "Turn");
    this.poly = make("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggle("polyhedra", this.poly) }, "Polyhedra");
    this.near = make("button", { type: "button", "aria-pressed": String(neighbours), title: "Also the atoms outside of the cell that complete the coordination",
      onclick: () => this.toggle("neighbours", this.near) }, "Neighbours");
    this.cells = make("select", { "aria-label": "Cells", onchange: () => this.again() },
      ...[1, 2, 3].map((n) => make("option", { value: n }, n === 1 ? "one cell" : `${n} × ${n} × ${n} cells`)));
    const forms = [["CIF", "cif", "cif"], ["POSCAR", "poscar", "vasp"], ["extxyz", "extxyz", "extxyz"]].map(([label, form, ending]) =>
      make("button", { type: "button", onclick: () => this.take(form, ending) }, label));
    this.legend = make("div", { class: "legend" });
    this.facts = make("dl", { class: "facts" });
    this.measure = make("p", { class: "says", "aria-live": "polite" }, "Click two atoms for their distance.");
    parent.replaceChildren(this.canvas, make("div", { class: "tools" }, this.turn, this.poly, this.near, this.cells), this.legend, this.measure, this.facts,
      make("div", { class: "tools", role: "group", "aria-label": "Take the crystal along" }, make("span", {}, "Download"), ...forms,
        make("button", { type: "button", onclick: () => copy(this.cif, "CIF") }, "Copy CIF")));
    document.addEventListener("themechange", () => this.viewer && this.draw());
  }

  async show(cif, name = "crystal", more = []) {
    [this.cif, this.name, this.more, this.picked] = [cif, name, more, []];
    await this.again();
  }

  async again() {
    const n = Number(this.cells.value), asked = this.cif;
    try {
      const [mol, scene] = await Promise.all([load3Dmol(), ask("/scene", { cif: this.cif, supercell: [n, n, n] })]);
      if (asked !== this.cif) return;
      this.scene = scene;
      if (scene.loose && !this.options.neighbours) this.toggle("neighbours", this.near, false);
      this.viewer ??= mol.createViewer(this.canvas, { backgroundAlpha: 0, antialias: true });
      this.draw(true);
      this.describe();
    } catch (error) {
      say(error.message);
    }
  }

  draw(fresh = false) {
    const { elements, cell, polyhedra } = this.scene, viewer = this.viewer;
    const level = this.options.polyhedra ? 2 : this.options.neighbours ? 1 : 0;
    // those outside of the cell come last, so that the numbers of the others stay
    const atoms = this.scene.atoms.filter((atom) => atom.outside <= level);
    const bonds = this.scene.bonds.filter(([i, j]) => i < atoms.length && j < atoms.length);
    const view = fresh ? null : viewer.getView();
    viewer.removeAllModels(); viewer.removeAllShapes(); viewer.removeAllLabels();
    const around = atoms.map(() => []);
    for (const [i, j] of bonds) { around[i].push(j); around[j].push(i); }
    const model = viewer.addModel();
    model.addAtoms(atoms.map((atom, k) => ({
      elem: atom.element, x: atom.x, y: atom.y, z: atom.z, serial: k, bonds: around[k], bondOrder: around[k].map(() => 1),
    })));
    for (const [symbol, { colour, radius }] of Object.entries(elements)) {
      viewer.setStyle({ elem: symbol }, { sphere: { color: colour, radius: 0.28 * radius + 0.14 }, stick: { color: colour, radius: 0.07 } });
    }
    const line = getComputedStyle(document.documentElement).getPropertyValue("--edge").trim();
    this.edges(cell, line);
    if (this.options.polyhedra) for (const shape of polyhedra) this.polyhedron(shape, atoms, elements);
    this.highlight();
    viewer.setClickable({}, true, (atom) => this.pick(atom.serial));
    if (view) viewer.setView(view);
    else { viewer.zoomTo(); viewer.rotate(-75, "x"); viewer.rotate(20, "y"); viewer.rotate(8, "x"); viewer.zoom(0.92); }
    viewer.spin(this.options.turning ? "y" : false, 0.4);
    viewer.render();
    this.canvas.dataset.drawn = String(atoms.length);
  }

  edges(cell, colour) {
    const point = (i, j, k) => ({ x: i * cell[0][0] + j * cell[1][0] + k * cell[2][0], y: i * cell[0][1] + j * cell[1][1] + k * cell[2][1], z: i * cell[0][2] + j * cell[1][2] + k * cell[2][2] });
    for (const [a, b] of [[[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 1]], [[1, 1, 1], [0, 1, 1]], [[1, 1, 1], [1, 0, 1]], [[1, 1, 1], [1, 1, 0]],
      [[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [1, 0, 1]], [[0, 1, 0], [1, 1, 0]], [[0, 1, 0], [0, 1, 1]], [[0, 0, 1], [1, 0, 1]], [[0, 0, 1], [0, 1, 1]]]) {
      this.viewer.addCylinder({ start: point(...a), end: point(...b), radius: 0.03, color: colour, fromCap: 1, toCap: 1 });
    }
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    ["a", "b", "c"].forEach((name, axis) => {
      const at = [0, 0, 0]; at[axis] = 1 + 0.9 / Math.hypot(...cell[axis]);
      this.viewer.addLabel(name, { position: point(...at), fontColor: ink, backgroundOpacity: 0, fontSize: 16, bold: true, alignment: "center", inFront: true });
    });
  }

  polyhedron({ centre, faces }, atoms, elements) {
    const vertexArr = [], faceArr = [], normalArr = [], middle = atoms[centre];
    for (const face of faces) {
      const [p, q, r] = face.map((k) => atoms[k]);
      const u = [q.x - p.x, q.y - p.y, q.z - p.z], v = [r.x - p.x, r.y - p.y, r.z - p.z];
      let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      const outwards = n[0] * (p.x - middle.x) + n[1] * (p.y - middle.y) + n[2] * (p.z - middle.z) > 0;
      const size = Math.hypot(...n) * (outwards ? 1 : -1);
      n = n.map((value) => value / size);
      for (const k of outwards ? face : [face[0], face[2], face[1]]) {
        faceArr.push(vertexArr.length);
        vertexArr.push({ x: atoms[k].x, y: atoms[k].y, z: atoms[k].z });
        normalArr.push({ x: n[0], y: n[1], z: n[2] });
      }
    }
    this.viewer.addCustom({ vertexArr, faceArr, normalArr, color: elements[middle.element].colour, opacity: 0.45 });
  }

  pick(k) {
    this.picked = this.picked.length === 2 ? [k] : [...this.picked.filter((other) => other !== k), k];
    this.draw();
    if (this.picked.length < 2) { this.measure.textContent = `${this.scene.atoms[k].element}: click a second atom.`; return; }
    const [p, q] = this.picked.map((other) => this.scene.atoms[other]);
    this.measure.textContent = `${p.element}–${q.element}: ${Math.hypot(p.x - q.x, p.y - q.y, p.z - q.z).toFixed(3)} Å`;
  }

  /** Mark a bond by its two ends, or else the atoms of these numbers in the cell. */
  light(indices, bond) { [this.lit, this.bond] = [new Set(bond ? [] : indices), bond]; if (this.viewer) this.draw(); }

  highlight() {
    this.scene.atoms.forEach((atom, k) => {
      if (this.picked.includes(k) || (this.lit?.has(atom.index) && !atom.outside)) {
        this.viewer.addSphere({ center: atom, radius: 0.28 * this.scene.elements[atom.element].radius + 0.3, color: "#ffb000", opacity: 0.5 });
      }
    });
    if (this.bond) {
      const [start, end] = this.bond.map(([x, y, z]) => ({ x, y, z }));
      this.viewer.addCylinder({ start, end, radius: 0.16, color: "#ffb000", fromCap: 2, toCap: 2 });
      for (const center of [start, end]) this.viewer.addSphere({ center, radius: 0.75, color: "#ffb000", opacity: 0.5 });
    }
    if (this.picked.length === 2) {
      const [start, end] = this.picked.map((k) => this.scene.atoms[k]);
      this.viewer.addCylinder({ start, end, radius: 0.05, color: "#ffb000", dashed: true });
    }
  }

  describe() {
    const { facts, elements } = this.scene;
    this.legend.replaceChildren(...Object.entries(elements).map(([symbol, { colour }]) =>
      make("span", {}, make("i", { style: `background:${colour}` }), symbol)));
    const rows = [["Formula", formula(facts.formula)], ["Space group", make("span", {}, group(facts.space_group), `, within ${facts.tolerance}`)],
      ["a, b, c", `${facts.lengths.map((v) => v.toFixed(3)).join(", ")} Å`], ["α, β, γ", `${facts.angles.map((v) => v.toFixed(1)).join(", ")}°`],
      ["Cell", `${facts.atoms} ${facts.atoms === 1 ? "atom" : "atoms"}, ${figure(facts.volume)} Å³`], ...this.more];
    this.facts.replaceChildren(...rows.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
  }

  async take(form, ending) {
    try { download(`${this.name}.${ending}`, await ask("/convert", { cif: this.cif, form })); } catch (error) { say(error.message); }
  }

  toggle(option, button, draw = true) {
    this.options[option] = !this.options[option];
    button.setAttribute("aria-pressed", String(this.options[option]));
    this.picked = this.picked.filter((k) => !this.scene?.atoms[k]?.outside);
    if (this.viewer && draw) this.draw();
  }

  key(event) {
    const turns = { ArrowLeft: [-12, "y"], ArrowRight: [12, "y"], ArrowUp: [-12, "x"], ArrowDown: [12, "x"] };
    if (!this.viewer) return;
    if (turns[event.key]) this.viewer.rotate(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.viewer.zoom(1.15);
    else if (event.key === "-") this.viewer.zoom(1 / 1.15);
    else return;
    event.preventDefault();
    this.viewer.render();
  }
}
