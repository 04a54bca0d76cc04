// Server-sent events of an answer, parsed: the objects of its data lines up to [DONE].
export async function* readEvents(body) {
  let rest = '';
  for await (const piece of pieces(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + piece).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data:')) continue;
      const data = line.slice(5).trim();
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
  throw new Error('The stream ended before [DONE].');
}

// Not every browser can iterate a stream by itself.
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
