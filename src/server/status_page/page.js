// The status: asks for the statistics once a second and shows them.

import {Chart} from './chart.js';
import {startChat} from './chat.js';
import {at, count, element, latency, percent, rate, show, showBar, span, tableRow} from './figures.js';
import {showLearning} from './learning.js';
import {call} from './server.js';

const PERIOD_MS = 1000;

const charts = {
  generation: new Chart(at('generation-chart'), 'Generated'),
  prompt: new Chart(at('prompt-chart'), 'Prompts'),
};
let model = '';

function showState(state, text) {
  at('state').dataset.state = state;
  show('state-text', text);
}

function showRow(id, percentiles) {
  const cells = at(id).querySelectorAll('td');
  const {p50, p90, p99} = percentiles;
  [latency(p50), latency(p90), latency(p99), count(percentiles.count)].forEach((text, i) => {
    cells[i].textContent = text;
  });
}

const SENTENCES = {
  draining: 'The server is about to end: it finishes what runs and takes nothing new.',
  stuck: 'Requests wait, and the engine has finished no step for some time.',
};

function showBanner(sentence) {
  const banner = at('banner');
  if (banner.textContent !== sentence) banner.textContent = sentence;
  banner.hidden = sentence === '';
}

function showStatistics(statistics) {
  const {now, history, latency: times} = statistics;
  model = statistics.model;
  document.title = `${model} · forerun`;
  show('model', model);
  showState(statistics.state, statistics.state);
  showBanner(SENTENCES[statistics.state] ?? '');
  show('context', `${count(statistics.context_length)} tokens`);
  show('isa', statistics.isa);
  show('fingerprint', statistics.fingerprint);
  show('version', statistics.version);
  show('uptime', span(statistics.uptime_seconds));
  const ago = history.seconds_ago;
  charts.generation.show(ago, history.generation_tokens_per_second,
                         now.generation_tokens_per_second);
  charts.prompt.show(ago, history.prompt_tokens_per_second, now.prompt_tokens_per_second);
  show('running', count(now.running));
  show('waiting', count(now.waiting));
  show('requests', `${rate(now.requests_per_second)} /s`);
  show('kv-use', percent(now.kv_use));
  showBar('kv-bar', now.kv_use);
  show('prefix-hits', percent(now.prefix_hit_rate));
  showBar('prefix-bar', now.prefix_hit_rate);
  showRow('first-token', times.first_token);
  showRow('inter-token', times.inter_token);
}

const MOST_PLACES = 12;

function sourceRow([name, {draft_tokens: verified, accepted_tokens: right}]) {
  return tableRow(name, count(verified), percent(right / verified));
}

// A bar for each place of a draft: how many drafts were right up to there.
function placeBar(fraction) {
  const item = element('li');
  const bar = element('span');
  bar.style.height = `${75 * fraction}%`;  // the figure stands below
  item.append(bar, element('small', `${Math.round(100 * fraction)} %`));
  return item;
}

// Measured with drafts and without, by turns, at about as many sequences in a step.
function sizeRow({sequences, speed_up: speedUp, drafts}) {
  const name = sequences === 1 ? '1' : `${sequences} to ${2 * sequences - 1}`;
  return tableRow(name, `${speedUp.toFixed(2)} ×`, drafts ? 'yes' : 'no');
}

function showDrafts(told) {
  at('drafts').hidden = told.drafts === 0;
  if (told.drafts === 0) return;
  const right = told.accepted_tokens / told.draft_tokens;
  show('draft-length', told.acceptance_length.toFixed(2));
  show('draft-step', (told.generated_tokens / told.steps).toFixed(2));
  show('draft-right', percent(right));
  showBar('draft-bar', right);
  const used = Object.entries(told.by_source).filter(([, one]) => one.draft_tokens > 0);
  at('draft-sources').replaceChildren(...used.map(sourceRow));
  at('draft-measured').hidden = told.measured.length === 0;
  at('draft-sizes').replaceChildren(...told.measured.map(sizeRow));
  at('draft-places').replaceChildren(...told.accepted_by_place.slice(0, MOST_PLACES).map(placeBar));
}

async function poll() {
  try {
    // A page that nobody sees asks for nothing.
    if (!document.hidden) {
      const statistics = await (await call('/forerun/statistics')).json();
      showStatistics(statistics);
      await showLearning(statistics.learning ?? null);
      showDrafts(await (await call('/forerun/speculation')).json());
    }
  } catch (error) {
    showState('unreachable', 'no answer');
    showBanner(`${error.message} Trying again.`);
  }
  setTimeout(poll, PERIOD_MS);
}

startChat(() => model);
poll();
