// How figures are written, and put where they stand.

const whole = new Intl.NumberFormat('en');
const tenths = new Intl.NumberFormat('en', {maximumFractionDigits: 1, minimumFractionDigits: 1});

export const at = (id) => document.getElementById(id);
export const count = (value) => whole.format(value);
export const rate = (value) => tenths.format(value);
export const hundredths = (value) => value.toFixed(2);
export const percent = (fraction) =>
    (fraction === null ? '–' : `${(100 * fraction).toFixed(1)} %`);

// "9.1 ms", "120 ms", "2.45 s"
export function latency(seconds) {
  if (seconds === null) return '–';
  const ms = 1000 * seconds;
  if (ms >= 1000) return `${seconds.toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

// "12 s", "5 min", "3 h 12 min", "2 d 4 h"
export function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function show(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

export function showBar(id, fraction) {
  at(id).style.width = `${100 * Math.min(1, fraction ?? 0)}%`;
}

export function element(name, text = '') {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// A row of a table, its first cell the head.
export function tableRow(head, ...cells) {
  const row = element('tr');
  const first = element('th', head);
  first.scope = 'row';
  row.append(first, ...cells.map((text) => element('td', text)));
  return row;
}
