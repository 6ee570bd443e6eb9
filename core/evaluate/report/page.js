"use strict";
// Turns crystals by pointer and arrow keys, and switches between light and dark. The page is whole without it.
(() => {
  const SVG = (tag, body) => `<${tag} ${body}/>`;
  const f = (v) => v.toFixed(1);

  class Turnable {
    constructor(svg) {
      this.svg = svg;
      const data = JSON.parse(svg.dataset.scene);
      this.atoms = data.a; this.bonds = data.b; this.corners = data.c; this.colours = data.k;
      this.home = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
      this.turn = this.home;
      this.frame = 0;
      this.listen();
    }
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
      svg.addEventListener("dblclick", () => { this.turn = this.home; this.later(); });
      svg.addEventListener("keydown", (e) => {
        const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[e.key];
        if (step) { e.preventDefault(); this.by(...step); }
      });
    }
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
    draw() {
      const marks = [];
      const line = (p, q, look) => marks.push([(p[2] + q[2]) / 2, SVG("path", `${look} d="M${f(p[0])} ${f(-p[1])}L${f(q[0])} ${f(-q[1])}"`)]);
      const mix = (p, q, w) => p.map((v, k) => v + (q[k] - v) * w);
      const corners = this.corners.map((p) => this.at(p));
      for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) {
        for (let k = 0; k < 4; k++) line(mix(corners[i], corners[i | bit], k / 4), mix(corners[i], corners[i | bit], (k + 1) / 4), 'class="edge"');
      }
      const atoms = this.atoms.map((a) => this.at(a));
      for (const [i, j] of this.bonds) {
        const middle = mix(atoms[i], atoms[j], 0.5);
        for (const k of [i, j]) line(atoms[k], middle, `class="bond" stroke="${this.colours[this.atoms[k][4]]}"`);
      }
      this.atoms.forEach((a, k) => {
        const [x, y, z] = atoms[k];
        marks.push([z, SVG("circle", `cx="${f(x)}" cy="${f(-y)}" r="${f(a[3])}" fill="url(#el${a[4] | 0})"`)]);
      });
      marks.sort((p, q) => p[0] - q[0]);
      this.svg.innerHTML = marks.map((m) => m[1]).join("");
    }
  }

  const crystals = [...document.querySelectorAll("svg.crystal")].map((svg) => new Turnable(svg));
  const spin = document.getElementById("spin");
  if (spin && crystals.length) {
    let running = false;
    const step = () => {
      if (!running) return;
      const height = window.innerHeight;
      for (const crystal of crystals) {
        const box = crystal.svg.getBoundingClientRect();
        if (box.bottom > 0 && box.top < height) crystal.by(0.008, 0);
      }
      requestAnimationFrame(step);
    };
    spin.hidden = false;
    spin.addEventListener("click", () => {
      running = !running;
      spin.setAttribute("aria-pressed", String(running));
      step();
    });
  }

  const theme = document.getElementById("theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    });
  }
})();
