// Where things stand in a file: lines and columns of keys and values, and mistakes that only the text shows.
import { isAlias, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';

/** Both from 1. */
export interface Place {
  line: number;
  column: number;
}

export type Path = readonly PropertyKey[];

export interface Places {
  data(): unknown;
  /** Of the key itself; of the nearest thing around it when it is not there. */
  ofKey(path: Path): Place | undefined;
  /** Of the value; of the nearest thing around it when it is not there. */
  ofValue(path: Path): Place | undefined;
}

export interface Mistake {
  at: Place | undefined;
  message: string;
}

/** Refuses what YAML allows and these files do not need: aliases, tags, several documents, keys that are no text, keys twice. */
export function parseYaml(text: string): { mistake: Mistake | undefined; places: Places } {
  const lines = new LineCounter();
  let document: ReturnType<typeof parseDocument>;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      version: '1.2',
      merge: false,
      uniqueKeys: true,
      prettyErrors: false,
      stringKeys: true,
    });
  } catch (error) {
    // The parser descends recursively.
    if (!(error instanceof RangeError)) throw error;
    return { mistake: { at: undefined, message: 'is nested too deeply' }, places: noPlaces };
  }
  const at = (offset: number | undefined): Place | undefined => {
    if (offset === undefined) return undefined;
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const [error] = [...document.errors, ...document.warnings];
  let mistake: Mistake | undefined = error && { at: at(error.pos[0]), message: wordsFor(error.code, error.message) };
  if (!mistake) {
    visit(document, {
      Alias(_, alias) {
        mistake = { at: at(alias.range?.[0]), message: `aliases (*${alias.source}) are not read: write the value out` };
        return visit.BREAK;
      },
    });
  }
  const places: Places = {
    data: () => document.toJS({ maxAliasCount: 0 }),
    ofKey: path => at(keyOffset(document, path)) ?? nearest(document, path, at),
    ofValue: path => nearest(document, path, at),
  };
  return { mistake, places };
}

/** Places in text that is known to be sound, such as JSON that was parsed. */
export function yamlPlaces(text: string): Places | undefined {
  const { mistake, places } = parseYaml(text);
  return mistake ? undefined : places;
}

/** Keys in the text of sound JSON, and keys that survived parsing: a difference means that some stood there twice. */
export function countKeys(text: string, data: unknown): { written: number; kept: number } {
  let kept = 0;
  const open: unknown[] = [data];
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    if (typeof item !== 'object' || item === null) continue;
    const values = Object.values(item);
    if (!Array.isArray(item)) kept += values.length;
    for (const value of values) if (typeof value === 'object' && value !== null) open.push(value);
  }
  return { written: keysWritten(text), kept };
}

/** In JSON a string before a colon is a key. No pattern: over a string of megabytes that overflows the stack. */
function keysWritten(text: string): number {
  let keys = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) {
    for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
    let after = at + 1;
    while (/\s/.test(text[after] ?? '')) after++;
    if (text[after] === ':') keys++;
  }
  return keys;
}

type Document = ReturnType<typeof parseDocument>;

function keyOffset(document: Document, path: Path): number | undefined {
  const map = path.length > 1 ? document.getIn(path.slice(0, -1), true) : document.contents;
  if (!isMap(map)) return undefined;
  const name = path.at(-1);
  const pair = map.items.find(({ key }) => isScalar(key) && String(key.value) === name);
  return pair && isNode(pair.key) ? pair.key.range?.[0] : undefined;
}

function nearest(
  document: Document,
  path: Path,
  at: (offset: number | undefined) => Place | undefined,
): Place | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && !isAlias(node) && node.range) return at(node.range[0]);
  }
  return at(document.contents?.range?.[0] ?? 0);
}

const noPlaces: Places = { data: () => undefined, ofKey: () => undefined, ofValue: () => undefined };

function wordsFor(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'the same key stands here twice';
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here; one is read';
  if (code === 'TAG_RESOLVE_FAILED') return 'tags (!) are not read';
  if (code === 'NON_STRING_KEY') return 'a key must be text: put it in quotes';
  // The parser has caught its own overflow.
  if (message.includes('call stack')) return 'is nested too deeply';
  return `is not YAML: ${message}`;
}
