// Text from a cluster is untrusted. What could steer a terminal or deceive a reader is shown as what it is: \u{1b}.

/** C0, DEL, C1; soft hyphen; bidi marks and controls; zero-width characters; line and paragraph separators; BOM; lone surrogates. */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

/** One line of text for a terminal or a log; a line break in it becomes `\u{a}` like the rest. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, c => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
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
