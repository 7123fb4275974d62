'use strict';
// Shared by the charts. Nothing that comes from the data is ever read as markup: only text nodes and attributes.

const SVG = 'http://www.w3.org/2000/svg';

function svg(name, attributes, ...children) {
  return grown(document.createElementNS(SVG, name), attributes, children);
}

function element(name, attributes, ...children) {
  return grown(document.createElement(name), attributes, children);
}

function grown(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    node.setAttribute(key, typeof value === 'number' ? String(Math.round(value * 100) / 100) : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) {
      node.append(child);
    }
  }
  return node;
}

const ruler = document.createElement('canvas').getContext('2d');
const family = getComputedStyle(document.body).fontFamily;

function widthOf(text, size, bold) {
  ruler.font = `${bold ? 650 : 400} ${size || 12}px ${family}`;
  return ruler.measureText(text).width;
}

// As much of the text as there is room for; nothing when that would say nothing.
function fitted(text, room, size, bold) {
  if (widthOf(text, size, bold) <= room) {
    return text;
  }
  let kept = text.slice(0, 200);
  while (kept.length > 3 && widthOf(kept + '…', size, bold) > room) {
    kept = kept.slice(0, -1);
  }
  return kept.length > 3 ? kept.trimEnd() + '…' : '';
}

function number(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) {
    return Math.round(value).toLocaleString('en');
  }
  return size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

function seconds(value) {
  return value !== 0 && Math.abs(value) < 1 ? `${number(value * 1000)} ms` : `${value.toFixed(2)} s`;
}

// 1, 2 or 5 times a power of ten, not below `least`.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map(factor => factor * power).find(step => step >= least * 0.999999);
}

// Values 0, step, 2 step ... for an axis with about `count` of them.
function ticks(max, count) {
  const step = niceStep(Math.max(max, 1e-9) / count);
  const list = [];
  for (let i = 0; i * step <= max * 1.000001; ++i) {
    list.push(i * step);
  }
  return {list, step};
}

let patterns = 0;
// Hatching, so that areas differ without their colour. Gives the fill.
function hatch(root, angle, colour, background, gap) {
  const id = `hatch-${++patterns}`;
  const size = gap || 6;
  root.prepend(svg('defs', {}, svg('pattern',
      {id, width: size, height: size, patternUnits: 'userSpaceOnUse', patternTransform: `rotate(${angle})`},
      svg('rect', {width: size, height: size, style: `fill:var(${background})`}),
      svg('line', {x1: 0, y1: 0, x2: 0, y2: size, style: `stroke:var(${colour});stroke-width:1.6`}))));
  return `url(#${id})`;
}

// The shape of a kind of event around a point; the list of events has the same shapes.
function sign(kind, x, y) {
  const shapes = {
    inject: `M${x - 4} ${y - 3}h8l-4 7z`,
    mend: `M${x - 4} ${y + 3.5}h8l-4 -7z`,
    crash: `M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8`,
    restart: `M${x - 3} ${y - 4}v8l7 -4z`,
    view: `M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z`,
    evidence: `M${x - 3} ${y + 5}v-10l7 3l-7 3`,
    stall: `M${x - 5} ${y - 1.5}h10v3h-10z`,
    violation: `M${x - 4} ${y - 4}h8v8h-8z`,
  };
  const note = `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`;
  return svg('path', {d: shapes[kind] || note, class: `sign k-${shapes[kind] ? kind : 'note'}`});
}

const tip = document.getElementById('tip');

function showTip(text, clientX, clientY) {
  tip.textContent = text;
  tip.hidden = false;
  const room = document.documentElement.clientWidth;
  const beside = clientX + 16 + tip.offsetWidth > room ? clientX - 16 - tip.offsetWidth : clientX + 16;
  const left = Math.max(4, Math.min(beside, room - tip.offsetWidth - 4));
  const below = clientY + 18 + tip.offsetHeight > document.documentElement.clientHeight;
  const top = below ? Math.max(4, clientY - 12 - tip.offsetHeight) : clientY + 18;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${top + window.scrollY}px`;
}

function hideTip() {
  tip.hidden = true;
}

// A finger that is lifted leaves the text to be read; the next touch moves or ends it.
function leaveWith(event, hide) {
  if (event.pointerType !== 'touch') {
    hide();
  }
}

// The text shows while the pointer is over the node, or after a touch of it.
function explain(node, text) {
  node.addEventListener('pointerenter', event => showTip(text, event.clientX, event.clientY));
  node.addEventListener('pointermove', event => showTip(text, event.clientX, event.clientY));
  node.addEventListener('pointerleave', event => leaveWith(event, hideTip));
  node.classList.add('explained');
  node.setAttribute('aria-label', text);
  return node;
}
