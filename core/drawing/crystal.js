"use strict";
// Turns and zooms every svg.crystal of a page by pointer, wheel, keys and buttons, and shows polyhedra on demand.
// The pictures stand without it (core/drawing/svg.py draws the same scene).
(() => {
  const HALF = 100, MARGIN = 4, ZOOMS = [1, 8], AXES = [[1, "a"], [2, "b"], [4, "c"]];
  const f = (v) => v.toFixed(1);
  const mix = (p, q, w) => [0, 1, 2].map((k) => p[k] + (q[k] - p[k]) * w);

  class Turnable {
    constructor(svg) {
      this.svg = svg;
      const data = JSON.parse(svg.dataset.scene);
      this.atoms = data.a; this.bonds = data.b; this.corners = data.c; this.faces = data.f; this.colours = data.k;
      this.faced = false;
      this.frame = 0;
      this.home();
      this.listen();
      this.tools();
    }
    home() { this.turn = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]; this.zoom = 1; }
    listen() {
      const svg = this.svg;
      let from = null;
      svg.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY]; svg.setPointerCapture(e.pointerId); });
      svg.addEventListener("pointermove", (e) => {
        if (!from) return;
        this.by((e.clientX - from[0]) * 0.012, (e.clientY - from[1]) * 0.012);
        from = [e.clientX, e.clientY];
      });
      for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { from = null; });
      svg.addEventListener("dblclick", () => { this.home(); this.later(); });
      // only a crystal that was clicked takes the wheel, so that the page still scrolls over the others
      svg.addEventListener("wheel", (e) => {
        if (document.activeElement === svg) { e.preventDefault(); this.nearer(Math.exp(-e.deltaY * 0.002)); }
      }, { passive: false });
      svg.addEventListener("keydown", (e) => {
        const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[e.key];
        const act = { "+": () => this.nearer(1.25), "=": () => this.nearer(1.25), "-": () => this.nearer(0.8), p: () => this.polyhedra(),
          0: () => { this.home(); this.later(); } }[e.key];
        if (!step && !act || e.ctrlKey || e.metaKey) return;
        e.preventDefault();
        if (step) this.by(...step); else act();
      });
    }
    tools() {
      const row = document.createElement("div");
      row.className = "tools";
      const button = (text, label, act) => {
        const made = document.createElement("button");
        made.type = "button"; made.textContent = text; made.title = label;
        made.setAttribute("aria-label", label);
        made.addEventListener("click", () => act(made));
        row.append(made);
        return made;
      };
      button("−", "Zoom out", () => this.nearer(0.8));
      button("+", "Zoom in", () => this.nearer(1.25));
      if (this.faces.length) {
        this.switch = button("⬡", "Show coordination polyhedra", () => this.polyhedra());
        this.switch.setAttribute("aria-pressed", "false");
      }
      this.svg.after(row);
    }
    polyhedra(on = !this.faced) {
      if (!this.faces.length) return;
      this.faced = on;
      this.switch.setAttribute("aria-pressed", String(on));
      this.later();
    }
    nearer(factor) { this.zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], this.zoom * factor)); this.later(); }
    by(yaw, pitch) {
      const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
      const step = [[c, 0, s], [t * s, d, -t * c], [-d * s, t, d * c]];
      this.turn = step.map((row) => [0, 1, 2].map((k) => row[0] * this.turn[0][k] + row[1] * this.turn[1][k] + row[2] * this.turn[2][k]));
      this.later();
    }
    later() {
      if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    }
    at(p) { return this.turn.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]); }
    // The first view fills the square; a long cell that turns into a wider one is drawn smaller, never cut.
    fit(atoms, corners) {
      let reach = 0;
      corners.forEach((p) => { reach = Math.max(reach, Math.abs(p[0]), Math.abs(p[1])); });
      atoms.forEach((p, k) => { reach = Math.max(reach, Math.abs(p[0]) + this.atoms[k][3], Math.abs(p[1]) + this.atoms[k][3]); });
      return this.zoom * Math.min(1, (HALF - MARGIN) / reach);
    }
    draw() {
      const marks = [];
      const line = (p, q, look) => marks.push([(p[2] + q[2]) / 2, `<path ${look} d="M${f(p[0])} ${f(-p[1])}L${f(q[0])} ${f(-q[1])}"/>`]);
      let corners = this.corners.map((p) => this.at(p)), atoms = this.atoms.map((a) => this.at(a));
      const scale = this.fit(atoms, corners), scaled = (p) => p.map((v) => v * scale);
      corners = corners.map(scaled); atoms = atoms.map(scaled);
      for (let i = 0; i < 8; i++) for (const [bit, axis] of AXES) if (!(i & bit)) {
        const look = `class="edge${i ? "" : " " + axis}"`;
        for (let k = 0; k < 4; k++) line(mix(corners[i], corners[i | bit], k / 4), mix(corners[i], corners[i | bit], (k + 1) / 4), look);
      }
      for (const [i, j] of this.bonds) {
        const middle = mix(atoms[i], atoms[j], 0.5), out = this.atoms[i][5] || this.atoms[j][5] ? " out" : "";
        for (const k of [i, j]) line(atoms[k], middle, `class="bond${out}" stroke="${this.colours[this.atoms[k][4]]}"`);
      }
      this.atoms.forEach((a, k) => {
        const [x, y, z] = atoms[k];
        marks.push([z, `<circle${a[5] ? ' class="out"' : ""} cx="${f(x)}" cy="${f(-y)}" r="${f(a[3] * scale)}" fill="url(#el${a[4] | 0})"/>`]);
      });
      if (this.faced) for (const [number, ...balls] of this.faces) {
        const colour = this.colours[number], around = balls.map((k) => atoms[k]);
        const depth = around.reduce((sum, p) => sum + p[2], 0) / around.length;
        const path = around.map((p) => `${f(p[0])} ${f(-p[1])}`).join("L");
        marks.push([depth, `<path class="face" fill="${colour}" stroke="${colour}" d="M${path}Z"/>`]);
      }
      marks.sort((p, q) => p[0] - q[0]);
      const [x0, y0] = corners[0];
      const names = AXES.map(([bit, axis]) => {
        const [x, y] = corners[bit], length = Math.max(Math.hypot(x - x0, y - y0), 1e-9);
        return `<text class="${axis}" x="${f(x + 9 * (x - x0) / length)}" y="${f(3.5 - y - 9 * (y - y0) / length)}">${axis}</text>`;
      });
      this.svg.innerHTML = marks.map((m) => m[1]).join("") + names.join("");
    }
  }

  const crystals = [...document.querySelectorAll("svg.crystal")].map((svg) => new Turnable(svg));
  const toggled = (id, act) => {
    const button = document.getElementById(id);
    if (!button || !crystals.length) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      act(on, button);
    });
  };
  toggled("spin", (on, button) => {
    const step = () => {
      if (button.getAttribute("aria-pressed") !== "true") return;
      for (const crystal of crystals) {
        const box = crystal.svg.getBoundingClientRect();
        if (box.bottom > 0 && box.top < window.innerHeight) crystal.by(0.008, 0);
      }
      requestAnimationFrame(step);
    };
    step();
  });
  toggled("polyhedra", (on) => crystals.forEach((crystal) => crystal.polyhedra(on)));
})();
