// Pictures of a result: a ring for the total, a radar (from three criteria on) for the dimensions.

import { h, s } from "./dom.js";

const SIZE = 260;
const RADIUS = 92;
const RINGS = [0.25, 0.5, 0.75, 1];

/** The total as a ring; `score` 0..100, or null while it is not known. */
export function ring(score, passed) {
  const share = Math.max(0, Math.min(100, score ?? 0)) / 100;
  const length = 2 * Math.PI * 52;
  return s(
    "svg",
    { viewBox: "0 0 120 120", class: `ring ${score === null ? "" : passed ? "passed" : "below"}`, role: "img",
      "aria-label": score === null ? "Score not known yet" : `Score ${Math.round(score)} of 100` },
    s("circle", { cx: 60, cy: 60, r: 52, class: "track" }),
    s("circle", { cx: 60, cy: 60, r: 52, class: "fill", transform: "rotate(-90 60 60)", "stroke-dasharray": `${share * length} ${length}` }),
    s("text", { x: 60, y: 66, "text-anchor": "middle", class: "total" }, score === null ? "…" : String(Math.round(score))),
    s("text", { x: 60, y: 84, "text-anchor": "middle", class: "of" }, "of 100"),
  );
}

/** `dimensions`: [{name, score}], score 0..1 or null while it is judged. Axes are numbered as the list below is. */
export function radar(dimensions) {
  if (dimensions.length < 3) return h("div", { hidden: true });
  const at = (i, share) => {
    const angle = (2 * Math.PI * i) / dimensions.length - Math.PI / 2;
    return [SIZE / 2 + RADIUS * share * Math.cos(angle), SIZE / 2 + RADIUS * share * Math.sin(angle)];
  };
  const shape = (share) => dimensions.map((d, i) => at(i, share(d)).map((n) => n.toFixed(1)).join(",")).join(" ");
  const told = dimensions.map((d) => `${d.name}: ${d.score === null ? "not judged yet" : `${Math.round(d.score * 100)} %`}`);
  return s(
    "svg",
    { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "radar", role: "img", "aria-label": `Dimensions. ${told.join("; ")}.` },
    ...RINGS.map((share) => s("polygon", { points: shape(() => share), class: "web" })),
    ...dimensions.map((d, i) => s("line", { x1: SIZE / 2, y1: SIZE / 2, x2: at(i, 1)[0], y2: at(i, 1)[1], class: "web" })),
    s("polygon", { points: shape((d) => d.score ?? 0), class: "area" }),
    ...dimensions.map((d, i) => point(at(i, d.score ?? 0), d)),
    ...dimensions.map((d, i) => axis(at(i, 1.2), d, i)),
  );
}

const point = ([cx, cy], { score }) => (score === null ? null : s("circle", { cx, cy, r: 3.5, class: "point" }));

const axis = ([x, y], { name, score }, i) =>
  s("text", { x, y: y + 4, "text-anchor": "middle", class: `axis ${score === null ? "waiting" : ""}` }, s("title", {}, name), String(i + 1));
