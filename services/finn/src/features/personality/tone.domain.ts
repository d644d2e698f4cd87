/** One attribute of an NFT's metadata. */
export interface Trait {
  readonly type: string;
  readonly value: string;
}

interface Tone {
  readonly words: RegExp;
  readonly line: string;
}

/**
 * How traits sound. A trait's own words are only looked up here; what the model is told is ours.
 * One small table: each line changes an answer so that one hears it.
 */
const TONES: readonly Tone[] = [
  {
    words: /\b(stoic|calm|serene|zen|patient|quiet)\b/,
    line: 'Your voice is calm and sparse: short plain sentences, no exclamation marks.',
  },
  {
    words: /\b(playful|funny|witty|joker|mischievous|silly|trickster)\b/,
    line: 'Your voice is playful: joke, tease kindly, and use a surprising comparison.',
  },
  {
    words: /\b(fierce|warrior|brave|bold|angry|wild|aggressive)\b/,
    line: 'Your voice is fierce: direct, urgent, in strong verbs, and you never hedge.',
  },
  {
    words: /\b(wise|sage|ancient|scholar|mystic|oracle|thoughtful)\b/,
    line: 'Your voice is that of an old teacher: unhurried, with one image from nature.',
  },
  {
    words: /\b(kind|gentle|warm|caring|friendly|loyal|cheerful|happy)\b/,
    line: 'Your voice is warm: encourage first, then answer, in simple friendly words.',
  },
  {
    words: /\b(curious|inventor|explorer|scientist|analytical|logical)\b/,
    line: 'Your voice is curious: say what you find out step by step, then ask one question back.',
  },
  {
    words: /\b(noble|royal|formal|elegant|proud|aristocrat)\b/,
    line: 'Your voice is formal: full sentences, exact words, no contractions.',
  },
  {
    words: /\b(dark|gothic|mysterious|shadow|brooding|melancholic)\b/,
    line: 'Your voice is dark and low: short sentences, night and weather, dry humour.',
  },
];

const PLAIN = 'Your voice is clear and friendly, coloured by your traits.';
const MAX_TONES = 2;

/** The lines for at most two tones that the traits name, in the table's order. */
export function toneOf(traits: readonly Trait[]): string {
  const words = traits.map((trait) => trait.value.slice(0, 64).toLowerCase()).join('\n');
  const lines = TONES.filter((tone) => tone.words.test(words)).map((tone) => tone.line);
  return lines.length === 0 ? PLAIN : lines.slice(0, MAX_TONES).join('\n');
}
