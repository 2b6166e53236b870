//! Any text as a device profile: no panic, and each error has a place.
#![no_main]

use farmhand::config::Origin;
use farmhand::profiles::read_profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match read_profile("it", "it.toml", text) {
        Ok(profile) => assert_eq!(profile.id, "it"),
        Err(error) => assert!(matches!(error.origin, Origin::File(place) if place.line > 0), "no place"),
    }
});
