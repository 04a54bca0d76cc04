// A line over the last five minutes, with its axes, as SVG.

const SPACE = 'http://www.w3.org/2000/svg';
const SPAN = 300;  // seconds
const HEIGHT = 118;
const NARROW = 420;  // below it, every other minute is named
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
const plain = new Intl.NumberFormat('en', {maximumFractionDigits: 1, minimumFractionDigits: 1});
export const rate = (value) => plain.format(value);

export class Chart {
  constructor(figure, name) {
    this.name = name;
    this.value = figure.querySelector('.value');
    this.svg = element('svg', {role: 'img', height: HEIGHT});
    figure.append(this.svg);
    this.points = [];
    this.now = null;
    new ResizeObserver(() => this.draw()).observe(figure);
    this.svg.addEventListener('pointermove', (event) => this.point(event));
    this.svg.addEventListener('pointerleave', () => this.point(null));
  }

  // `ago` in seconds, oldest first; `now` is what the caption tells.
  show(ago, values, now) {
    this.points = ago.map((seconds, i) => ({ago: seconds, value: values[i]}));
    this.now = now;
    this.draw();
  }

  x(ago) {
    return MARGIN.left + (1 - ago / SPAN) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return HEIGHT - MARGIN.bottom - (value / this.top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  draw() {
    this.width = this.svg.parentElement.clientWidth;
    if (!this.width) return;
    const peak = Math.max(0, ...this.points.map((point) => point.value));
    this.top = niceCeiling(peak);
    this.svg.setAttribute('width', this.width);
    this.svg.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    this.svg.setAttribute('aria-label', this.now === null ? `${this.name}: no figures yet.` :
        `${this.name}: ${rate(this.now)} tokens a second now; ` +
        `at most ${rate(peak)} in the last five minutes.`);
    this.svg.replaceChildren(...this.axes(), ...this.line());
    this.mark();
  }

  axes() {
    const parts = [];
    const right = this.width - MARGIN.right;
    for (const value of [0, this.top / 2, this.top]) {
      parts.push(element('line', {class: value ? 'grid' : 'axis', x1: MARGIN.left, x2: right,
                                  y1: this.y(value), y2: this.y(value)}));
      parts.push(element('text', {x: MARGIN.left - 8, y: this.y(value) + 4, 'text-anchor': 'end'},
                         withUnits.format(value)));
    }
    for (const minutes of this.width < NARROW ? [4, 2, 0] : [5, 4, 3, 2, 1, 0]) {
      const anchor = minutes === 0 ? 'end' : minutes === 5 ? 'start' : 'middle';
      parts.push(element('text', {x: this.x(60 * minutes), y: HEIGHT - 4, 'text-anchor': anchor},
                         minutes === 0 ? 'now' : `−${minutes} min`));
    }
    return parts;
  }

  line() {
    if (this.points.length < 2) return [];
    const at = (point) => `${this.x(point.ago).toFixed(1)},${this.y(point.value).toFixed(1)}`;
    const path = this.points.map(at).join('L');
    const [first, last] = [this.points[0], this.points.at(-1)];
    const floor = this.y(0);
    return [
      element('path', {class: 'area',
                       d: `M${this.x(first.ago)},${floor}L${path}L${this.x(last.ago)},${floor}Z`}),
      element('path', {class: 'line', d: `M${path}`}),
    ];
  }

  // The pointer reads one second; without it the caption tells of now.
  point(event) {
    this.pointer = event && event.clientX - this.svg.getBoundingClientRect().left;
    this.draw();
  }

  mark() {
    if (this.now !== null) this.value.textContent = rate(this.now);
    if (this.pointer == null || this.points.length === 0) return;
    const distance = (point) => Math.abs(this.x(point.ago) - this.pointer);
    const nearest = this.points.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    if (distance(nearest) > 12) return;
    const x = this.x(nearest.ago);
    this.svg.append(
        element('line', {class: 'cursor', x1: x, x2: x, y1: MARGIN.top, y2: this.y(0)}),
        element('circle', {class: 'knob', cx: x, cy: this.y(nearest.value), r: 3.5}));
    this.value.textContent = `${Math.round(nearest.ago)} s ago: ${rate(nearest.value)}`;
  }
}
