// Line charts as SVG: curves over steps, and the fit of a powder pattern. A pointer over a chart reads its values.
const COLOURS = ["var(--accent)", "var(--warm)", "var(--good)", "var(--bad)", "#9b6fe0", "#1596a5"];
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function ticks(low, high, wanted = 4) {
  const raw = (high - low || 1) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(8)));
  return found;
}

/** The empty picture with its axes; `x` and `y` turn values into places. */
function frame({ width, height, left, right = 16, top = 14, bottom = 44 }, [x0, x1], [y0, y1], xName, yName, label) {
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - right);
  const y = (v) => height - bottom - ((v - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const middle = (top + height - bottom) / 2;
  for (const v of left > 40 ? ticks(y0, y1) : []) {
    svg.append(node("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), class: "grid" }), node("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, v));
  }
  for (const v of ticks(x0, x1, width > 800 ? 8 : 5)) {
    svg.append(node("line", { x1: x(v), x2: x(v), y1: height - bottom, y2: height - bottom + 4, class: "axis" }), node("text", { x: x(v), y: height - bottom + 18, "text-anchor": "middle" }, v));
  }
  svg.append(node("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis" }),
    node("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xName),
    node("text", { x: 14, y: middle, transform: `rotate(-90 14 ${middle})`, "text-anchor": "middle" }, yName));
  return { svg, x, y, left, right: width - right, top, bottom: height - bottom };
}

function line(points, x, y, attributes) {
  return node("path", { d: "M" + points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"), ...attributes });
}

/** A pointer over the chart shows what `read(value on the x axis)` says: [place, text]. */
function readout({ svg, left, right, top, bottom, x }, [x0, x1], read) {
  const mark = node("line", { y1: top, y2: bottom, class: "mark", visibility: "hidden" }), text = node("text", { y: top + 4, class: "read", visibility: "hidden" });
  svg.append(mark, text);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), place = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const value = x0 + ((place - left) / (right - left)) * (x1 - x0);
    if (value < x0 || value > x1) return;
    const [at, says] = read(value);
    for (const [key, v] of [["x1", x(at)], ["x2", x(at)], ["visibility", "visible"]]) mark.setAttribute(key, v);
    const end = x(at) > (left + right) / 2;
    for (const [key, v] of [["x", x(at) + (end ? -8 : 8)], ["text-anchor", end ? "end" : "start"], ["visibility", "visible"]]) text.setAttribute(key, v);
    text.textContent = says;
  });
  svg.addEventListener("pointerleave", () => { mark.setAttribute("visibility", "hidden"); text.setAttribute("visibility", "hidden"); });
}

const short = (value) => Number(Number(value).toPrecision(4));

/** lines: {label: [[x, y], ...]} */
export function chart(lines, xName, yName, label) {
  const all = Object.values(lines).flat();
  if (!all.length) return node("svg", { class: "chart" });
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]);
  const wide = [Math.min(...xs), Math.max(...xs)], high = [Math.min(...ys), Math.max(...ys)], rim = 0.04 * (high[1] - high[0] || Math.abs(high[0]) || 1);
  const made = frame({ width: 640, height: 270, left: 66 }, wide, [high[0] - rim, high[1] + rim], xName, yName, label);
  Object.entries(lines).forEach(([name, points], k) => {
    const path = points.length > 1 ? line(points, made.x, made.y, { stroke: COLOURS[k % 6] }) : node("circle", { cx: made.x(points[0][0]), cy: made.y(points[0][1]), r: 4, fill: COLOURS[k % 6] });
    path.append(node("title", {}, name));
    made.svg.append(path);
    if (points.length > 1 && points.length < 20) for (const [a, b] of points) made.svg.append(node("circle", { cx: made.x(a), cy: made.y(b), r: 2.5, fill: COLOURS[k % 6] }));
  });
  readout(made, wide, (value) => {
    const near = Object.entries(lines).map(([name, points]) => [name, points.reduce((best, p) => (Math.abs(p[0] - value) < Math.abs(best[0] - value) ? p : best))]);
    const at = near.map(([, p]) => p[0]).reduce((best, v) => (Math.abs(v - value) < Math.abs(best - value) ? v : best));
    return [at, `${at}: ${near.filter(([, p]) => p[0] === at).map(([name, p]) => `${name} ${short(p[1])}`).join(", ")}`];
  });
  return made.svg;
}

/** A powder pattern as crystallographers draw it: measured and computed curve, the lines as ticks, the difference below. */
export function fitChart({ curves, lines }) {
  const { two_theta: angle, measured, computed, difference } = curves, last = angle.length - 1;
  const top = measured.reduce((a, b) => Math.max(a, b), computed.reduce((a, b) => Math.max(a, b), 1e-9));
  const deep = difference.reduce((a, b) => Math.max(a, b), 0), gap = 0.14 * top;
  const low = difference.reduce((a, b) => Math.min(a, b), 0) - deep - gap, wide = [angle[0], angle[last]];
  const made = frame({ width: 1000, height: 360, left: 34 }, wide, [low, 1.04 * top], "scattering angle 2θ, degrees", "intensity", "Measured and computed powder pattern, their difference below");
  const pairs = (values, shift = 0) => angle.map((a, k) => [a, values[k] + shift]);
  const shift = -deep - gap;
  made.svg.append(node("line", { x1: made.left, x2: made.right, y1: made.y(shift), y2: made.y(shift), class: "grid" }),
    line(pairs(difference, shift), made.x, made.y, { stroke: "var(--soft)", "stroke-width": 1 }),
    line(pairs(measured), made.x, made.y, { stroke: "var(--accent)", "stroke-width": 1.4 }),
    line(pairs(computed), made.x, made.y, { stroke: "var(--warm)", "stroke-width": 1.2 }));
  const y = made.y(-0.05 * top);
  made.svg.append(node("path", { d: lines.map((v) => `M${made.x(v).toFixed(1)} ${y - 5}v10`).join(""), stroke: "var(--good)", "stroke-width": 1.2 }));
  readout(made, wide, (value) => {
    let k = angle.findIndex((a) => a >= value);
    if (k < 0) k = last;
    return [angle[k], `${angle[k].toFixed(2)}°: measured ${short(measured[k])}, computed ${short(computed[k])}`];
  });
  const place = document.createElement("div"), legend = document.createElement("div");
  legend.className = "legend lines";
  for (const [name, colour] of [["measured", "var(--accent)"], ["computed", "var(--warm)"], ["lines of the crystal", "var(--good)"], ["difference", "var(--soft)"]]) {
    const item = document.createElement("span"), sign = document.createElement("i");
    sign.style.background = colour;
    item.append(sign, name);
    legend.append(item);
  }
  made.svg.classList.add("fit");
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.append(made.svg);
  place.append(scroll, legend);
  return place;
}

export function colour(k) { return COLOURS[k % 6]; }
