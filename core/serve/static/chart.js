// A small line chart as SVG.
const COLOURS = ["var(--accent)", "var(--warm)", "var(--good)", "var(--bad)", "#7d4fc4", "#0d8391"];
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function ticks(low, high) {
  const raw = (high - low || 1) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(8)));
  return found;
}

/** lines: {label: [[x, y], ...]} */
export function chart(lines, xName, yName, label) {
  const width = 560, height = 260, left = 58, right = 16, top = 12, bottom = 40;
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  const all = Object.values(lines).flat();
  if (!all.length) return svg;
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - right);
  const y = (v) => height - bottom - ((v - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  for (const v of ticks(y0, y1)) {
    svg.append(node("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), class: "grid" }), node("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, v));
  }
  for (const v of ticks(x0, x1)) svg.append(node("text", { x: x(v), y: height - bottom + 16, "text-anchor": "middle" }, v));
  svg.append(node("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xName),
    node("text", { x: 12, y: height / 2 - 10, transform: `rotate(-90 12 ${height / 2 - 10})`, "text-anchor": "middle" }, yName));
  Object.entries(lines).forEach(([name, points], k) => {
    const path = node("path", { d: "M" + points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"), stroke: COLOURS[k % 6] });
    path.append(node("title", {}, name));
    svg.append(path);
  });
  return svg;
}

export function colour(k) { return COLOURS[k % 6]; }
