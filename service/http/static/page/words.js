// Words of texts, and what the service says about them: probabilities of tokens, links between words.

const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
const sentences = new Intl.Segmenter(undefined, { granularity: "sentence" });

// The words of a text, with their ranges in UTF-16 units.
export const wordsOf = (text) =>
  [...segmenter.segment(text)]
    .filter((piece) => piece.isWordLike)
    .map(({ segment, index }) => ({ text: segment, start: index, end: index + segment.length }));

export const sentencesOf = (text) =>
  [...sentences.segment(text)].map(({ segment }) => segment.trim()).filter((sentence) => sentence);

// Byte-level vocabularies (GPT-2's) write each byte as a character; those that cannot be printed come after 255.
const BYTES = new Map();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  BYTES.set(String.fromCharCode(printable ? byte : next++), byte);
}

// The text of each token, as a reader writes it: "Ġgro", "ÃŁ" -> " gro", "ß".
export function spell(tokens) {
  if (!tokens.some((token) => token.startsWith("Ġ"))) return tokens.map((token) => token.replaceAll("▁", " "));
  const decoder = new TextDecoder();
  return tokens.map((token) => {
    const bytes = [...token].map((character) => BYTES.get(character));
    return bytes.includes(undefined) ? token : decoder.decode(new Uint8Array(bytes), { stream: true });
  });
}

// The probability of each word, and the token that begins it. A word that no token spells was put in by the service,
// in place of a placeholder that the model wrote: it is `held`.
export function withProbabilities(words, tokens, text) {
  const texts = spell(tokens.map((token) => token.text));
  const spelled = texts.join("").toLowerCase();
  const owner = texts.flatMap((text, token) => Array(text.length).fill(token));
  let at = 0;
  const known = words.map((word) => {
    const found = spelled.indexOf(word.text.toLowerCase(), at);
    if (found < 0 || found > at + 60) return { ...word, held: true };
    at = found + word.text.length;
    const used = [...new Set(owner.slice(found, at))];
    const sum = used.reduce((total, token) => total + tokens[token].log_probability, 0);
    return { ...word, probability: Math.exp(sum), token: tokens[used[0]]?.id };
  });
  return known.reduce((kept, word) => joined(kept, word, text), []);
}

// Words that were put in without a space between them are parts of one thing, such as an address.
function joined(kept, word, text) {
  const before = kept.at(-1);
  if (!word.held || !before?.held || /\s/.test(text.slice(before.end, word.start))) return [...kept, word];
  return [...kept.slice(0, -1), { ...before, text: text.slice(before.start, word.end), end: word.end }];
}

// Links count code points; return a function that turns such an offset of a text into one of UTF-16 units.
export function offsets(text) {
  const at = [0];
  for (const character of text) at.push(at.at(-1) + character.length);
  return (offset) => at[Math.min(offset, at.length - 1)];
}

// The links of a translation in UTF-16 units: { source: [start, end], target: [start, end] }.
export function linksOf(alignment, source, target) {
  const [left, right] = [offsets(source), offsets(target)];
  return alignment.map((link) => ({
    source: [left(link.source_start), left(link.source_end)],
    target: [right(link.target_start), right(link.target_end)],
  }));
}

const NAMES = {
  split_long_sentence: "A sentence is longer than the model reads. It was cut, so check the places where it continues.",
  split_at_protected: "A sentence was cut around something that must not change. Check how the parts fit together.",
  number_changed: "A number differs from the text. Check all numbers.",
  sign_changed: "Brackets, quotation marks or signs differ from the text.",
  source_script: "A sentence is in a script that its language does not use. It was left as it is.",
  not_translated: "A part was left as it is, because the service was busy.",
  not_aligned: "The words could not be aligned.",
  source_unsure: "The language of the text is unsure. Choose it at “From” if the translation looks wrong.",
  empty_output: "The model wrote nothing for a sentence.",
  copied_source: "A sentence came back as it was.",
  repetition: "The translation repeats itself.",
  length_ratio: "The translation is much longer or shorter than the text.",
  wrong_script: "The translation is in a script that its language does not use.",
};

// A warning of the service as a sentence.
export function warningSentence(warning) {
  const term = warning.match(/^glossary_missed: (.*)$/s)?.[1];
  if (term !== undefined) return `The translation lacks the glossary’s term for “${term}”.`;
  return NAMES[warning] ?? `The service warns: ${warning}.`;
}
