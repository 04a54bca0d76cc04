// Calls to the server with the key, which the person is asked for when the server wants one.

const KEY = 'forerun-key';
const dialog = document.getElementById('key-dialog');
const form = document.getElementById('key-form');
const input = document.getElementById('key');
const problem = document.getElementById('key-problem');
const forget = document.getElementById('forget-key');

// What went wrong, as a sentence for the person.
export class Problem extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

// There is nothing to see without a key.
dialog.addEventListener('cancel', (event) => event.preventDefault());

let asking = null;

// One dialog, however many calls wait for it.
function askForKey(wasWrong) {
  asking ??= new Promise((resolve) => {
    problem.hidden = !wasWrong;
    input.value = '';
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, input.value.trim());
      input.value = '';
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
    input.focus();
  });
  return asking;
}

forget.addEventListener('click', () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});

// The sentence in an error's body, in OpenAI's shape; else one of our own.
async function sentenceOf(response) {
  try {
    const message = (await response.json()).error?.message;
    if (message) return message;
  } catch {
    // Not JSON: something between us and the server answered.
  }
  return `The server answered with status ${response.status}.`;
}

// fetch(), with the key. Throws a Problem for whatever is not a success, and passes an AbortError on.
export async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {...options.headers};
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, {...options, headers});
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem('The server cannot be reached.', 0);
    }
    if (response.status === 401) {
      // Another call may have asked in the meantime.
      if (key === sessionStorage.getItem(KEY)) await askForKey(key !== null);
      continue;
    }
    forget.hidden = !key;
    if (!response.ok) throw new Problem(await sentenceOf(response), response.status);
    return response;
  }
}
