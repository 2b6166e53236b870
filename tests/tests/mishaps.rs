//! What goes wrong by itself: a disk that fills, a start that fails, a device that cannot be kept up, a clock that jumps.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "mishaps/clock.rs"]
mod clock;
#[path = "mishaps/full_disk.rs"]
mod full_disk;
#[path = "mishaps/meltdown.rs"]
mod meltdown;
#[path = "mishaps/start.rs"]
mod start;

/// One virtual Uno, as `farm.toml` names it.
const UNO: &str = "[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n";

/// Runs an image on it, and waits for its words.
fn expecting(image: &farmhand_tests::Image, pattern: &str) -> [String; 8] {
    let path = image.path.to_str().unwrap();
    let expect = format!("--expect={pattern}");
    ["run", path, "--board", farmhand_tests::UNO, "--device", "uno", "--message-format=json", &expect]
        .map(Into::into)
}
