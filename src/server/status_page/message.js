// One message of the chat. What a model says is put in as text and never as HTML.

const NAMES = {user: 'You', assistant: 'Model'};

function make(name, className, text = '') {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

// Paragraphs, and ``` blocks set apart; one that is still open counts.
function blocksOf(text) {
  return text.split(/^ {0,3}```[^\n]*\n?/m).flatMap((part, i) => {
    const isCode = i % 2 === 1;
    const pieces = isCode ? [part.replace(/\s+$/, '')] : part.trim().split(/\n\s*\n/);
    return pieces.filter(Boolean)
        .map((piece) => make(isCode ? 'pre' : 'p', isCode ? 'code' : 'text', piece));
  });
}

class Message {
  constructor(log, role) {
    this.text = '';
    this.reasoning = '';
    this.element = make('article', `message ${role}`);
    this.body = make('div', 'body');
    this.element.append(make('h3', 'who', NAMES[role]), this.body);
    this.element.classList.toggle('under-way', role === 'assistant');
    log.append(this.element);
  }

  get isRemoved() {
    return !this.element.isConnected;
  }

  append(text, reasoning = '') {
    this.text += text;
    if (reasoning) this.think(reasoning);
    // The answer begins: what led to it steps back.
    if (text && this.thoughts?.open && this.text.trim()) this.thoughts.open = false;
    if (text) this.body.replaceChildren(...blocksOf(this.text));
  }

  think(reasoning) {
    if (!this.thoughts) {
      this.thoughts = make('details', 'reasoning');
      this.thoughts.open = true;
      this.thoughtText = make('p', 'text');
      this.thoughts.append(make('summary', '', 'Reasoning'), this.thoughtText);
      this.body.before(this.thoughts);
    }
    this.reasoning += reasoning;
    this.thoughtText.textContent = this.reasoning.trim();
  }

  end(note, isProblem = false) {
    this.element.classList.remove('under-way');
    if (!note) return;
    const line = make('p', isProblem ? 'note problem' : 'note', note);
    if (isProblem) line.setAttribute('role', 'alert');
    this.element.append(line);
  }
}

export const addMessage = (log, role) => new Message(log, role);
