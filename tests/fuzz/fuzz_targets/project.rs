//! Any text as a project's file: no panic, and an end.
#![no_main]

use farmhand_project::LibraryManifest;
use farmhand_project::arduino::{Directories, SketchFile};
use farmhand_project::platformio::{
    Config, Dependency, Filter, Ini, Surroundings, board_properties, flags, will_do,
};
use libfuzzer_sys::fuzz_target;

struct Nowhere;

impl Surroundings for Nowhere {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "V").then(|| "${this.v}".to_owned())
    }

    fn built_in(&self, name: &str) -> Option<String> {
        (name == "PROJECT_DIR").then(|| "/p".to_owned())
    }

    fn core_dir(&self) -> String {
        "/c".to_owned()
    }
}

fuzz_target!(|text: &str| {
    if let Ok(ini) = Ini::parse(text, 0) {
        let mut config = Config::default();
        config.push(ini);
        for environment in config.environments() {
            for (option, _) in config.options(environment, &Nowhere) {
                if let Ok(Some(found)) = config.of(environment, option, &Nowhere) {
                    let _several = found.several();
                }
            }
        }
        for (option, _) in config.project_options(&Nowhere) {
            let _found = config.of_project(option, &Nowhere);
        }
    }
    let _flags = flags(text);
    let filter = Filter::parse(text);
    let _kept = (filter.keeps(text), filter.folders_outside());
    let _dependency = (Dependency::parse(text), will_do(text, "1.2.3"), will_do("^1", text));
    let _manifest = (LibraryManifest::from_json(text).is_ok(), LibraryManifest::from_properties(text));
    let _sketch = (SketchFile::parse(text).is_ok(), Directories::from_cli(text), Directories::from_preferences(text));
    let _board = board_properties(text).is_ok();
});
