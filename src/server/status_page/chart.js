// A line over the time up to now, with its axes, as SVG.

import {rate, span as spanText} from './figures.js';

const SPACE = 'http://www.w3.org/2000/svg';
const SPAN = 300;  // seconds
const HEIGHT = 118;
const NARROW = 420;  // below it, fewer times are named
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [...[1, 2, 5, 10, 20].map((n) => n * MINUTE), ...[0.5, 1, 2, 4, 8].map((n) => n * HOUR),
               ...[1, 2, 7, 14, 30, 90].map((n) => n * DAY)];
const MARGIN = {left: 46, right: 10, top: 8, bottom: 20};

function element(name, attributes = {}, text = '') {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// The smallest of 10, 20, 50, 100, … that is not below `value`.
function niceCeiling(value) {
  if (!(value > 10)) return 10;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const withUnits = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});

// "now", "−2 min", "−3 h"
function timeLabel(ago, step) {
  if (ago === 0) return 'now';
  const [unit, name] = step < HOUR && ago < 2 * HOUR ? [MINUTE, 'min'] :
      step < DAY ? [HOUR, 'h'] : [DAY, 'd'];
  return `−${+(ago / unit).toFixed(1)} ${name}`;
}

// What a chart of tokens a second is; others give what differs.
const USUAL = {unit: 'tokens a second', floor: 0, ceiling: niceCeiling, format: rate};

export class Chart {
  constructor(figure, name, options = {}) {
    this.name = name;
    this.options = {...USUAL, ...options};
    this.span = SPAN;
    this.marks = [];
    this.value = figure.querySelector('.value');
    this.svg = element('svg', {role: 'img', height: HEIGHT});
    figure.append(this.svg);
    this.points = [];
    this.now = null;
    new ResizeObserver(() => this.draw()).observe(figure);
    this.svg.addEventListener('pointermove', (event) => this.point(event));
    this.svg.addEventListener('pointerleave', () => this.point(null));
  }

  // `ago` in seconds, oldest first; `now` is what the caption tells. `marks` are moments that stand
  // out: {ago, kind, title}.
  show(ago, values, now, {span = SPAN, marks = []} = {}) {
    this.points = ago.map((seconds, i) => ({ago: seconds, value: values[i]}));
    this.now = now;
    this.span = span;
    this.marks = marks;
    this.draw();
  }

  x(ago) {
    return MARGIN.left + (1 - ago / this.span) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    const share = (value - this.options.floor) / (this.top - this.options.floor);
    return HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  label(peak) {
    const {unit, format} = this.options;
    if (this.now === null) return `${this.name}: no figures yet.`;
    const marked = this.marks.length > 0 ? ` Moments marked: ${this.marks.length}.` : '';
    return `${this.name}: ${format(this.now)} ${unit} now; at most ${format(peak)} in the last ` +
        `${spanText(this.span)}.${marked}`;
  }

  draw() {
    this.width = this.svg.parentElement.clientWidth;
    if (!this.width) return;
    const peak = Math.max(0, ...this.points.map((point) => point.value));
    this.top = this.options.ceiling(peak);
    this.svg.setAttribute('width', this.width);
    this.svg.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    this.svg.setAttribute('aria-label', this.label(peak));
    this.svg.replaceChildren(...this.axes(), ...this.line(), ...this.moments());
    this.readPointer();
  }

  axes() {
    const parts = [];
    const right = this.width - MARGIN.right;
    const {floor} = this.options;
    for (const value of [floor, (floor + this.top) / 2, this.top]) {
      parts.push(element('line', {class: value > floor ? 'grid' : 'axis', x1: MARGIN.left, x2: right,
                                  y1: this.y(value), y2: this.y(value)}));
      parts.push(element('text', {x: MARGIN.left - 8, y: this.y(value) + 4, 'text-anchor': 'end'},
                         withUnits.format(value)));
    }
    const most = this.width < NARROW ? 3 : 5;
    const step = STEPS.find((seconds) => this.span / seconds <= most) ?? this.span;
    for (let ago = 0; ago <= this.span; ago += step) {
      const anchor = ago === 0 ? 'end' : ago === this.span ? 'start' : 'middle';
      parts.push(element('text', {x: this.x(ago), y: HEIGHT - 4, 'text-anchor': anchor},
                         timeLabel(ago, step)));
    }
    return parts;
  }

  line() {
    if (this.points.length < 2) return [];
    const at = (point) => `${this.x(point.ago).toFixed(1)},${this.y(point.value).toFixed(1)}`;
    const path = this.points.map(at).join('L');
    const [first, last] = [this.points[0], this.points.at(-1)];
    const floor = this.y(this.options.floor);
    return [
      element('path', {class: 'area',
                       d: `M${this.x(first.ago)},${floor}L${path}L${this.x(last.ago)},${floor}Z`}),
      element('path', {class: 'line', d: `M${path}`}),
    ];
  }

  moments() {
    return this.marks.map((mark) => {
      const x = this.x(mark.ago);
      const line = element('line', {class: `moment ${mark.kind}`, x1: x, x2: x, y1: MARGIN.top,
                                    y2: this.y(this.options.floor)});
      line.append(element('title', {}, mark.title));
      return line;
    });
  }

  // The pointer reads one moment; without it the caption tells of now.
  point(event) {
    this.pointer = event && event.clientX - this.svg.getBoundingClientRect().left;
    this.draw();
  }

  readPointer() {
    const {format} = this.options;
    if (this.now !== null) this.value.textContent = format(this.now);
    if (this.pointer == null || this.points.length === 0) return;
    const distance = (point) => Math.abs(this.x(point.ago) - this.pointer);
    const nearest = this.points.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    if (distance(nearest) > 12) return;
    const x = this.x(nearest.ago);
    this.svg.append(
        element('line', {class: 'cursor', x1: x, x2: x, y1: MARGIN.top,
                         y2: this.y(this.options.floor)}),
        element('circle', {class: 'knob', cx: x, cy: this.y(nearest.value), r: 3.5}));
    const mark = this.marks.find((some) => Math.abs(this.x(some.ago) - this.pointer) < 5);
    const ago = nearest.ago <= SPAN ? `${Math.round(nearest.ago)} s` : spanText(nearest.ago);
    this.value.textContent =
        `${ago} ago${mark ? `, ${mark.title}` : ''}: ${format(nearest.value)}`;
  }
}
