//! Chance that can be had again: from a seed.

/// A generator of numbers (xorshift64*). Not for anything that must not be guessed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that it does not leave.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From `FARMHAND_TEST_SEED`, or the clock; said, so that a failure can be had again.
    #[must_use]
    pub fn seeded() -> Self {
        let given =
            std::env::var("FARMHAND_TEST_SEED").ok().map(|text| text.parse().expect("a seed is a number"));
        let seed = given.unwrap_or_else(farmhand_runtime::unix_ms);
        eprintln!("FARMHAND_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}
