//! What people read, word for word: help, errors, settings. No case here needs a farm or starts one.

#![allow(clippy::unwrap_used, reason = "a test")]

#[test]
fn what_people_read() {
    let nowhere = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    let path = |name: &str| nowhere.path().join(name).display().to_string();
    cases.env("FARMHAND_HOME", path("home")).env("XDG_CONFIG_HOME", path("config")).env("HOME", path("user"));
    // Help is wrapped to the terminal's width, which a machine that runs tests may say in a variable.
    cases.env("COLUMNS", "100").env("LINES", "40");
    for unset in ["CI", "NO_COLOR", "CLICOLOR_FORCE", "FARMHAND_HOST"] {
        cases.env(unset, "");
    }
    cases.case("tests/cmd/*.trycmd").case("tests/cmd/*.toml").run();
    assert!(!nowhere.path().join("home").exists(), "a case started a farm");
}
