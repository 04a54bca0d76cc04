// The official client for Node against the server at FORERUN_URL: node --test openai_node.mjs
import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI, {BadRequestError, NotFoundError} from 'openai';
import {zodResponseFormat} from 'openai/helpers/zod';
import {z} from 'zod';

const client = new OpenAI({
  baseURL: `${process.env.FORERUN_URL}/v1`, apiKey: 'none', maxRetries: 0, timeout: 60_000});
const model = process.env.FORERUN_MODEL;
const embeddingModel = process.env.FORERUN_EMBEDDING_MODEL;
const messages = [{role: 'user', content: 'Who wrote Romeo and Juliet?'}];
const weather = {
  name: 'get_weather', description: 'The weather somewhere.', strict: true,
  parameters: {type: 'object', properties: {city: {type: 'string', maxLength: 20}},
    required: ['city'], additionalProperties: false}};
const Place = z.object({name: z.string().max(12), size: z.enum(['small', 'large'])});

test('models: list and retrieve', async () => {
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert.ok(names.includes(model));
  assert.equal((await client.models.retrieve(model)).object, 'model');
});

test('chat: an answer with usage and log-probs', async () => {
  const answer = await client.chat.completions.create(
    {model, messages, max_tokens: 30, temperature: 0, logprobs: true, top_logprobs: 2});
  const [choice] = answer.choices;
  assert.match(choice.message.content, /Shakespeare/);
  assert.equal(answer.usage.completion_tokens, choice.logprobs.content.length
    + (choice.finish_reason === 'stop'));
  assert.equal(choice.logprobs.content[0].top_logprobs.length, 2);
});

test('chat: a stream says what the whole answer says', async () => {
  const options = {model, messages, max_tokens: 30, temperature: 0};
  const whole = await client.chat.completions.create(options);
  const stream = await client.chat.completions.create(
    {...options, stream: true, stream_options: {include_usage: true}});
  let text = '', usage;
  for await (const event of stream) {
    text += event.choices[0]?.delta?.content ?? '';
    usage = event.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('chat: several choices', async () => {
  const answer = await client.chat.completions.create(
    {model, messages, max_tokens: 8, n: 3, seed: 1, temperature: 1});
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
});

test('chat: a schema, read by zod', async () => {
  const answer = await client.chat.completions.parse({
    model, max_tokens: 100, temperature: 0, response_format: zodResponseFormat(Place, 'place'),
    messages: [{role: 'user', content: 'Describe Rome as JSON.'}]});
  Place.parse(answer.choices[0].message.parsed);
});

test('chat: a call that must be, whole and in a stream', async () => {
  const options = {
    model, max_tokens: 100, temperature: 0, tools: [{type: 'function', function: weather}],
    parallel_tool_calls: false, tool_choice: 'required', messages: [{role: 'user', content: 'What is the weather in Rome?'}]};
  const answer = await client.chat.completions.create(options);
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ['city']);
  const streamed = await client.chat.completions.stream(options).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments,
    call.function.arguments);
});

test('chat: a function that the client runs', async () => {
  let calls = 0;
  const runner = client.chat.completions.runTools({
    model, max_tokens: 60, temperature: 0,
    messages: [{role: 'user', content: 'What is the weather in Rome?'}],
    tool_choice: {type: 'function', function: {name: 'get_weather'}},
    tools: [{type: 'function', function: {
      ...weather, parse: JSON.parse, function: ({city}) => {
        calls += 1;
        return `Sunny in ${city}.`;
      }}}]});
  await runner.done();
  assert.ok(calls >= 1);
});

test('completions: text, a list of prompts, token ids, a stream', async () => {
  const options = {model, max_tokens: 8, temperature: 0};
  const both = await client.completions.create(
    {...options, prompt: ['The capital of France is', 'One, two,']});
  assert.equal(both.choices.length, 2);
  const {tokens} = await client.post(
    `${process.env.FORERUN_URL}/tokenize`, {body: {model, prompt: 'One, two,'}});
  const ids = await client.completions.create({...options, prompt: tokens});
  assert.equal(ids.choices[0].text, both.choices[1].text);
  let text = '';
  for await (const event of await client.completions.create(
    {...options, prompt: 'One, two,', stream: true})) text += event.choices[0].text;
  assert.equal(text, both.choices[1].text);
});

test('embeddings', async () => {
  const [first, second] = (await client.embeddings.create(
    {model: embeddingModel, input: ['a cat', 'a dog']})).data;
  assert.equal(first.embedding.length, second.embedding.length);
  assert.ok(Math.abs(Math.hypot(...first.embedding) - 1) < 1e-4);
});

test('errors have their classes', async () => {
  await assert.rejects(client.models.retrieve('none'),
    (error) => error instanceof NotFoundError && error.code === 'model_not_found');
  await assert.rejects(client.chat.completions.create({model, messages: []}),
    (error) => error instanceof BadRequestError && error.param === 'messages');
});

test('a stream that is left ends the answer', async () => {
  const stream = await client.chat.completions.create(
    {model, messages, max_tokens: 4000, ignore_eos: true, stream: true});
  for await (const event of stream) {
    assert.ok(event.id);
    break;
  }
  stream.controller.abort();
  for (let tries = 0; tries < 200; ++tries) {
    const metrics = await (await fetch(`${process.env.FORERUN_URL}/metrics`)).text();
    if (/^vllm:num_requests_running\S* 0(\.0)?$/m.test(metrics)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('it goes on');
});
