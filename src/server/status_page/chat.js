// The chat box: one conversation, streamed from /v1/chat/completions.

import {readEvents} from './events.js';
import {addMessage} from './message.js';
import {call, Problem} from './server.js';

const at = (id) => document.getElementById(id);
const log = at('log');
const input = at('message');
const send = at('send');
const stop = at('stop');

const ENDINGS = {
  length: 'Ended at the longest answer there is room for.',
  content_filter: 'Ended by the server.',
};

let conversation = [];  // {role, content}, without the system prompt
let running = null;     // the AbortController of an answer under way

function requestBody(model) {
  const system = at('system').value.trim();
  const temperature = at('temperature').value;
  const body = {
    model,
    messages: system ? [{role: 'system', content: system}, ...conversation] : conversation,
    stream: true,
    stream_options: {include_usage: true},
  };
  if (temperature !== '') body.temperature = Number(temperature);
  return body;
}

function showRunning(isRunning) {
  send.hidden = isRunning;
  stop.hidden = !isRunning;
  log.setAttribute('aria-busy', isRunning);
}

function announce(text) {
  at('announce').textContent = text;
}

// Follows the end of the log as long as the person has not scrolled away from it.
function keepingEndInView(change) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// "128 tokens, 45.2 tok/s, first token 120 ms"
function summary(tokens, began, first, ended) {
  if (!first || !tokens) return '';
  const parts = [`${tokens} tokens`];
  if (tokens > 1 && ended > first) {
    parts.push(`${((1000 * (tokens - 1)) / (ended - first)).toFixed(1)} tok/s`);
  }
  parts.push(`first token ${Math.round(first - began)} ms`);
  return parts.join(', ');
}

// Streams one answer into `message`; how it ended: {text, note}.
async function stream(model, message, signal) {
  const began = performance.now();
  let first = 0;
  let tokens = 0;
  let note = '';
  const response = await call('/v1/chat/completions', {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(requestBody(model)),
    signal,
  });
  for await (const event of readEvents(response.body)) {
    if (event.error) throw new Problem(event.error.message, 500);
    tokens = event.usage?.completion_tokens ?? tokens;
    const choice = event.choices?.[0];
    if (!choice) continue;
    const {content, reasoning_content: reasoning} = choice.delta ?? {};
    if (content || reasoning) first ||= performance.now();
    keepingEndInView(() => message.append(content ?? '', reasoning ?? ''));
    note = ENDINGS[choice.finish_reason] ?? note;
  }
  return [note, summary(tokens, began, first, performance.now())].filter(Boolean).join(' ');
}

async function answer(model) {
  const message = addMessage(log, 'assistant');
  running = new AbortController();
  const {signal} = running;
  showRunning(true);
  announce('The model answers.');
  log.scrollTop = log.scrollHeight;
  try {
    const note = await stream(model, message, signal);
    keepingEndInView(() => message.end(note));
    announce(`The answer is complete. ${message.text}`);
  } catch (error) {
    const wasStopped = signal.aborted;
    const sentence = wasStopped ? 'Stopped.' :
        error instanceof Problem ? error.message : 'The connection broke before the answer ended.';
    keepingEndInView(() => message.end(sentence, !wasStopped));
    announce(sentence);
  }
  if (message.isRemoved) return;
  // What was said so far is part of the conversation; a question without an answer is not.
  if (message.text) {
    conversation.push({role: 'assistant', content: message.text});
  } else {
    conversation.pop();
  }
  running = null;
  showRunning(false);
}

function submit(getModel) {
  const text = input.value.trim();
  if (!text || running) return;
  input.value = '';
  at('empty').hidden = true;
  conversation.push({role: 'user', content: text});
  addMessage(log, 'user').append(text);
  answer(getModel());
}

function startAgain() {
  running?.abort();
  running = null;
  conversation = [];
  log.querySelectorAll('.message').forEach((message) => message.remove());
  at('empty').hidden = false;
  showRunning(false);
  announce('A new chat.');
  input.focus();
}

export function startChat(getModel) {
  at('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    submit(getModel);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit(getModel);
    }
  });
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && running) running.abort();
  });
  stop.addEventListener('click', () => {
    running?.abort();
    input.focus();
  });
  at('new-chat').addEventListener('click', startAgain);
}
