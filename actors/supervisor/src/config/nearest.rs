//! What somebody may have meant.

/// Words less alike than this (Jaro-Winkler) are no help: `timout` and `timeout` have 0.97, `baud` and `board` 0.76.
const ALIKE: f64 = 0.8;

/// The word most like `text`, if any is alike.
pub fn nearest<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |word: &'a str| (strsim::jaro_winkler(&text.to_lowercase(), word), word);
    let best = words.into_iter().map(alike).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.and_then(|(alike, word)| (alike >= ALIKE).then_some(word))
}
