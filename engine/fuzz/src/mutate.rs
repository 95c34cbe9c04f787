//! Seeds to inputs: bytes changed, pieces of one seed put into another, words of the formats put in.

/// xorshift64*: the same seed finds the same again.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

const WORDS: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "1e400",
    "-0",
    "99999999999999999999",
    "\\ud800",
    "\\u0000",
    "\\\"",
    "\u{feff}",
    "data: ",
    "event: ",
    "data: [DONE]\n\n",
    "\r\n",
    "\r",
    "\n\n",
    ": x\n",
    "error",
    "index",
    "tool_calls",
    "choices",
    "delta",
    "finish_reason",
    "usage",
    "id",
    "type",
    "function",
    "custom",
    "content",
    "messages",
    "role",
    "text",
    "$first: ",
    "$if: ",
    "$each: ",
    "$merge: ",
    "$use: ",
    "$switch: ",
    "$lookup: ",
    "$concat: ",
    "$from_json: ",
    "$literal: ",
    "$omit: ",
    "$with: ",
    "$do: ",
    "$.",
    "$std",
    "$model",
    "$caps.",
    "$state.",
    "[*]",
    "[?@.a == 1]",
    "[?",
    "(count(",
    "!(",
    " && ",
    "match(@, 'a')",
    "{{",
    "}}",
    "{{#if $.a}}",
    "{{/if}}",
    "(lookup ",
    "&a ",
    "*a",
    "<<: ",
    "- ",
    ": ",
    " # ",
    "|\n",
    "? ",
    "!!str ",
];

pub fn mutated(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(6) {
        let length = input.len();
        let at = rng.below(length + 1);
        let end = (at + 1 + rng.below(24)).min(length);
        match rng.below(10) {
            0 if at < length => input[at] = rng.below(256) as u8,
            1 if at < length => input[at] ^= 1 << rng.below(8),
            2 if at < end => drop(input.drain(at..end)),
            3 if at < end => {
                let piece = input[at..end].to_vec();
                let to = rng.below(length + 1);
                input.splice(to..to, piece).for_each(drop);
            }
            4 if at < end => {
                // Repeated: nests and grows.
                let piece = input[at..end].repeat(1 + rng.below(200));
                input.splice(at..at, piece).for_each(drop);
            }
            5 | 6 => {
                let word = WORDS[rng.below(WORDS.len())];
                input.splice(at..at, word.bytes()).for_each(drop);
            }
            7 => {
                let other = &seeds[rng.below(seeds.len())];
                if !other.is_empty() {
                    let from = rng.below(other.len());
                    let to = (from + 1 + rng.below(400)).min(other.len());
                    input.splice(at..at, other[from..to].iter().copied()).for_each(drop);
                }
            }
            8 => input.truncate(at),
            _ => {
                // Whole lines moved: events of streams, keys of specs.
                let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
                if lines.len() > 1 {
                    let (a, b) = (rng.below(lines.len()), rng.below(lines.len()));
                    lines.swap(a, b);
                    if rng.below(2) == 0 {
                        lines.remove(a);
                    }
                    input = lines.concat();
                }
            }
        }
    }
    input
}
