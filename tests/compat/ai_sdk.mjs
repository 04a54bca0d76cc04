// Vercel's AI SDK, with its provider for OpenAI-compatible servers, against the server at FORERUN_URL:
// node --test ai_sdk.mjs
import assert from 'node:assert/strict';
import test from 'node:test';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {embedMany, generateText, Output, stepCountIs, streamText, tool} from 'ai';
import {z} from 'zod';

const provider = createOpenAICompatible({
  name: 'forerun', baseURL: `${process.env.FORERUN_URL}/v1`, apiKey: 'none', includeUsage: true,
  supportsStructuredOutputs: true});
const model = provider.chatModel(process.env.FORERUN_MODEL);
const prompt = 'Who wrote Romeo and Juliet?';
// So small a model would call again and again.
const providerOptions = {forerun: {parallel_tool_calls: false}};
const limits = {maxRetries: 0, maxOutputTokens: 30, temperature: 0};
const get_weather = tool({
  description: 'The weather somewhere.', inputSchema: z.object({city: z.string().max(20)}),
  execute: async ({city}) => `Sunny in ${city}.`});
const Place = z.object({name: z.string().max(12), size: z.enum(['small', 'large'])});

test('generateText', async () => {
  const {text, usage, finishReason} = await generateText({model, prompt, ...limits});
  assert.match(text, /Shakespeare/);
  assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
  assert.ok(['stop', 'length'].includes(finishReason));
});

test('streamText', async () => {
  const whole = await generateText({model, prompt, ...limits});
  const result = streamText({model, prompt, ...limits});
  let text = '';
  for await (const piece of result.textStream) text += piece;
  assert.equal(text, whole.text);
  assert.equal((await result.usage).outputTokens, whole.usage.outputTokens);
});

test('generateText with a tool, whose result goes back', async () => {
  const {steps} = await generateText({
    model, prompt: 'What is the weather in Rome?', tools: {get_weather},
    stopWhen: stepCountIs(2), ...limits, maxOutputTokens: 60, providerOptions,
    prepareStep: ({stepNumber}) => ({toolChoice: stepNumber === 0 ? 'required' : 'none'})});
  assert.equal(steps[0].toolCalls[0].toolName, 'get_weather');
  assert.match(steps[0].toolResults[0].output, /^Sunny in /);
  assert.equal(steps.length, 2);
});

test('streamText with a tool', async () => {
  const result = streamText({
    model, prompt: 'What is the weather in Rome?', tools: {get_weather}, toolChoice: 'required',
    ...limits, maxOutputTokens: 60, providerOptions});
  const kinds = [];
  for await (const part of result.fullStream) kinds.push(part.type);
  assert.ok(!kinds.includes('error'), kinds.join());
  for (const kind of ['tool-input-start', 'tool-input-delta', 'tool-call', 'tool-result']) {
    assert.ok(kinds.includes(kind), kind);
  }
});

test('structured output, whole and in a stream', async () => {
  const options = {
    model, prompt: 'Describe Rome as JSON.', output: Output.object({schema: Place}), ...limits,
    maxOutputTokens: 100};
  const {output} = await generateText(options);
  Place.parse(output);
  const result = streamText(options);
  let last;
  for await (const partial of result.partialOutputStream) last = partial;
  assert.deepEqual(last, output);
});

test('completions', async () => {
  const {text} = await generateText({
    model: provider.completionModel(process.env.FORERUN_MODEL), prompt: 'One, two,', ...limits});
  assert.ok(text);
});

test('embeddings', async () => {
  const {embeddings} = await embedMany({
    model: provider.embeddingModel(process.env.FORERUN_EMBEDDING_MODEL),
    values: ['a cat', 'a dog'], maxRetries: 0});
  assert.equal(embeddings.length, 2);
});

test('an error is told', async () => {
  await assert.rejects(
    generateText({model: provider.chatModel('none'), prompt, ...limits}), /none/);
});
