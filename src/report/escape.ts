// Text from a cluster is untrusted. What could steer a terminal or deceive a reader is shown as what it is: \u{1b}.

/** Controls (C0, DEL, C1), formats (bidi, zero-width, soft hyphen, tags), separators of lines, lone surrogates, whatever has no shape. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** A line for people is never longer; the data are whole in the machine's formats. */
const LONGEST = 4_000;

/** One line of text for a terminal or a log; a line break in it becomes `\u{a}` like the rest, and what is overlong is cut. */
export function escapeText(text: string): string {
  const more = text.length - LONGEST;
  return more > 0 ? `${visible(text.slice(0, LONGEST))}... (${more} more characters)` : visible(text);
}

function visible(text: string): string {
  return text.replace(UNSAFE, c => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** Rendered text on its way out: our line breaks and colours pass, and nothing else that was forgotten to be escaped. */
export function lastEscape(text: string): string {
  return text
    .split(/(\n|\u001b\[[\d;]*m)/)
    .map((part, i) => (i % 2 === 1 ? part : visible(part)))
    .join('');
}

/** A document as JSON whose data is untouched and whose text is harmless: what escapeText shows is written as \uXXXX. */
export function escapeJson(json: string): string {
  // The line breaks between the fields are ours.
  return json.replace(UNSAFE, c => (c === '\n' ? c : [...c.split('')].map(unit).join('')));
}

function unit(c: string): string {
  return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Text in XML, attributes included. Characters that XML 1.0 cannot hold, even escaped, become visible. */
export function escapeXml(text: string): string {
  return escapeText(text)
    .replace(/[\ufffe\uffff]/g, c => `\\u{${c.charCodeAt(0).toString(16)}}`)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
}
