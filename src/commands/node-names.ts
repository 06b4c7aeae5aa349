/** Names of nodes as an option takes them, separated by commas. */
export function namesIn(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',').map(name => name.trim());
}
