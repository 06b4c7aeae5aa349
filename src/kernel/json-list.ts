// A JSON document that is one long list, read item by item: as a whole it would take many times its length in memory.

/** Items of the list that is the value of `name`, in a document `{"name": [item, ...]}`. Throws on anything else. */
export function* jsonList(text: string, name: string): Generator<unknown> {
  const start = new RegExp(`^\\s*\\{\\s*"${name}"\\s*:\\s*\\[`).exec(text.slice(0, 1000))?.[0];
  if (start === undefined) throw new Error(`no "${name}" list at the beginning`);
  let at = start.length;
  for (;;) {
    const end = itemEnd(text, at);
    const item = text.slice(at, end);
    const closed = text[end] === ']';
    if (!closed || item.trim() !== '') yield JSON.parse(item);
    at = end + 1;
    if (closed) break;
  }
  if (text.slice(at).trim() !== '}') throw new Error(`something stands behind the "${name}" list`);
}

const QUOTE = 34;
const COMMA = 44;
const OPEN_LIST = 91;
const BACKSLASH = 92;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

/** Where the item that begins at `at` ends: at a comma or the end of the list. */
function itemEnd(text: string, at: number): number {
  let depth = 0;
  for (let index = at; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = stringEnd(text, index);
    else if (code === OPEN_LIST || code === OPEN_OBJECT) depth++;
    else if (depth === 0 && (code === COMMA || code === CLOSE_LIST)) return index;
    else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
  throw new Error('the list has no end');
}

function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
  throw new Error('the list ends in the middle of a string');
}
