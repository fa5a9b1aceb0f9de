// One small drawing per state, made of nodes: no foreign text ever becomes mark-up.

const SVG = 'http://www.w3.org/2000/svg';

/** Strokes on a 24 by 24 field. */
const PATHS = {
  connecting: ['M12 7v5l3 2', 'M12 3a9 9 0 1 0 9 9'],
  free: ['M7 11V8a5 5 0 0 1 9.6-2', 'M5 11h14v9H5z'],
  mine: ['M4 20l1-4L16.5 4.5a2 2 0 0 1 3 3L8 19l-4 1z', 'M14 7l3 3'],
  locked: ['M8 11V8a4 4 0 0 1 8 0v3', 'M5 11h14v9H5z', 'M12 14.5v2'],
  queued: ['M12 7v5l3 2', 'M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18'],
  asked: ['M4 5h16v11h-9l-5 4v-4H4z', 'M9 10.5h6'],
  stale: ['M3 9a13 13 0 0 1 18 0', 'M7 13a7 7 0 0 1 10 0', 'M12 17v.01', 'M4 4l16 16'],
  offline: ['M7 18a4.5 4.5 0 0 1-.5-9 6 6 0 0 1 11.3 1.5A3.8 3.8 0 0 1 17.5 18z', 'M4 4l16 16'],
  lost: ['M12 3l10 17H2z', 'M12 10v4', 'M12 17v.01'],
  saved: ['M4 12.5l5 5L20 6.5'],
};

/** @param {keyof typeof PATHS} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({
    viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': '2', 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true',
  })) svg.setAttribute(key, value);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}
