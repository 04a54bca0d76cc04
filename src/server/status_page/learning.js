// The panel of the loop that learns: its figures once a second, from its events every few seconds the
// curve of the heads' acceptance, its swaps and alarms, and what the gate decided.

import {Chart} from './chart.js';
import {at, count, element, hundredths, latency, show, span, tableRow} from './figures.js';
import {call} from './server.js';

const EVENTS_MS = 5000;
const LEAST_SPAN = 300;  // seconds
const MOST_VERDICTS = 8;
const MOST_MOMENTS = 5;

const chart = new Chart(at('acceptance-chart'), 'Replayed', {
  unit: 'tokens a round',
  floor: 1,  // the token that every round brings
  ceiling: (peak) => Math.max(2, Math.ceil(peak)),
  format: hundredths,
});
let events = [];
let asked = -Infinity;

// "+4.2 %" of a log speed-up
function faster(logSpeedup) {
  if (typeof logSpeedup !== 'number') return '–';
  const part = 100 * Math.expm1(logSpeedup);
  return `${part < 0 ? '−' : '+'}${Math.abs(part).toFixed(1)} %`;
}

const SWAPS = {
  gate: (head) => `head ${head} drafts`,
  user: (head) => `head ${head} drafts, as asked`,
  rollback: (head) => `back to head ${head}`,
  recall: (head) => `head ${head} is recalled`,
};

function swapTitle({version, why}) {
  return version === 0 ? 'no head drafts' : SWAPS[why]?.(version);
}

// A swap or an alarm as the chart marks it; nothing for any other event.
function moment(event) {
  const title = event.kind === 'activated' ? swapTitle(event) :
      event.kind === 'drift' && event.of === 'traffic' ? 'the traffic has moved' :
      event.kind === 'drift' ? 'the head drafts worse' : undefined;
  return title && {time: event.time, kind: event.kind === 'drift' ? 'alarm' : 'swap', title};
}

// The replayed acceptance of the head that drafts, as far as events tell: at each verdict that of
// the incumbent, and from a swap by the gate on the one's that passed. [{time, value}]
function curve() {
  const points = [];
  let passed;
  for (const event of events) {
    if (event.kind === 'verdict') {
      points.push({time: event.time, value: event.incumbent_acceptance_length});
      if (event.passed) passed = event.acceptance_length;
    } else if (event.kind === 'activated' && event.why === 'gate') {
      points.push({time: event.time, value: passed});
    }
  }
  return points.filter((point) => typeof point.value === 'number');
}

function showCurve(acceptance, now) {
  const points = [...curve(), {time: now, value: acceptance}];
  const marks = events.map(moment).filter(Boolean);
  const times = [...points, ...marks].map((some) => some.time);
  const length = Math.max(LEAST_SPAN, now - Math.min(...times));
  const ago = ({time}) => Math.max(0, now - time);
  chart.show(points.map(ago), points.map((point) => point.value), acceptance,
             {span: length, marks: marks.map((mark) => ({...mark, ago: ago(mark)}))});
  at('moments').replaceChildren(...marks.slice(-MOST_MOMENTS).reverse().map((mark) => {
    const item = element('li', `${span(ago(mark))} ago: ${mark.title}`);
    item.className = mark.kind;
    return item;
  }));
}

function showVerdicts(now) {
  const verdicts = events.filter((event) => event.kind === 'verdict').slice(-MOST_VERDICTS);
  at('verdicts').hidden = verdicts.length === 0;
  at('verdicts').tBodies[0].replaceChildren(...verdicts.reverse().map((event) => tableRow(
      `${span(Math.max(0, now - event.time))} ago`, count(event.step), count(event.conversations),
      faster(event.mean), faster(event.bound), event.passed ? 'passed' : event.reason)));
}

function showFigures(learning) {
  show('learning-state', !learning.enabled ? 'stopped' : learning.trainer_up ? 'the trainer runs' :
       'no trainer runs');
  show('head-version', learning.head_version === 0 ? 'none' : `${learning.head_version}`);
  show('head-speedup', `${hundredths(learning.estimated_speedup)} ×`);
  show('starved', learning.starved);
  show('learning-threads', learning.share.threads === 0 ? 'none' : count(learning.share.threads));
  show('records-kept', count(learning.records.kept));
  show('trainer-step', count(learning.trainer_step));
  show('trainer-loss', learning.trainer_loss === null ? '–' : hundredths(learning.trainer_loss));
  show('trainer-seconds', latency(learning.trainer_step_seconds));
}

// `learning` as the statistics tell it; null: nothing learns.
export async function showLearning(learning) {
  at('learning').hidden = learning === null;
  if (learning === null) return;
  showFigures(learning);
  if (performance.now() - asked > EVENTS_MS) {
    asked = performance.now();
    events = await (await call('/forerun/events?format=json&last=1000')).json();
  }
  const now = Date.now() / 1000;
  showCurve(learning.acceptance_length, now);
  showVerdicts(now);
}
