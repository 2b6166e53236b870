//! A board as PlatformIO's JSON files have it (PlatformIO documentation, "Custom Embedded Boards"), as properties of an Arduino core
//! (Arduino platform specification), and which board of a core has another name there.

use serde_json::Value;
use thiserror::Error;

/// PlatformIO's names of boards that an Arduino core has under another.
const NAMES: &str = include_str!("../../data/boards.txt");

/// What is no board.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoardError {
    /// Not JSON.
    #[error("line {line}: {why}")]
    Syntax {
        /// From one.
        line: usize,
        /// The parser's words.
        why: String,
    },
    /// It does not say which chip it has.
    #[error("it has no build.mcu")]
    NoChip,
}

/// The board of an Arduino core that PlatformIO knows by this name: `arduino:avr:mega:cpu=atmega2560` for `megaatmega2560`.
#[must_use]
pub fn board_named(platform: &str, name: &str) -> Option<&'static str> {
    let lines = NAMES.lines().filter(|line| !line.starts_with('#'));
    let mut words = lines.map(|line| line.split_whitespace());
    words.find_map(|mut words| {
        (words.next() == Some(platform) && words.next() == Some(name)).then(|| words.next())?
    })
}

/// What a board's `build.extra_flags` are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardFlags {
    /// The macros by which sources know it, less `ARDUINO_`: `SAMD_ZERO`.
    pub macros: Vec<String>,
    /// All others, each as it is written: `-DBOARD_HAS_PSRAM`.
    pub others: Vec<String>,
}

/// Cuts a board's `build.extra_flags`, which its properties have as one.
#[must_use]
pub fn board_flags(text: &str) -> BoardFlags {
    const NAME: &str = "ARDUINO_";
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let flags = match &json["build"]["extra_flags"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        one => one.as_str().unwrap_or_default().to_owned(),
    };
    let mut found = BoardFlags::default();
    let mut words = flags.split_whitespace();
    while let Some(word) = words.next() {
        // `-D X` is `-DX`.
        let word = match word {
            "-D" | "-U" | "-I" => format!("{word}{}", words.next().unwrap_or_default()),
            word => word.to_owned(),
        };
        match word.strip_prefix("-D").and_then(|name| name.strip_prefix(NAME)) {
            Some(name) if name.starts_with("ARCH_") => {}
            Some(name) if !name.contains('=') => found.macros.push(name.to_owned()),
            _ => found.others.push(word),
        }
    }
    found
}

/// A board's properties, as `boards.txt` has them, of a JSON file.
pub fn board_properties(text: &str) -> Result<Vec<(String, String)>, BoardError> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| BoardError::Syntax { line: error.line(), why: error.to_string() })?;
    let mut properties = Vec::new();
    let mut set = |key: &str, value: String| properties.push((key.to_owned(), value));
    if let Some(name) = json["name"].as_str() {
        set("name", name.to_owned());
    }
    for (key, value) in json["build"].as_object().into_iter().flatten() {
        let key = format!("build.{key}");
        match value {
            Value::Array(all) if all.iter().all(Value::is_string) => {
                set(&key, all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
            }
            // `hwids` is a list of pairs; the first is what the board says it is.
            Value::Array(all) if key == "build.hwids" => {
                let pair = all.first().and_then(Value::as_array);
                for (key, id) in ["build.vid", "build.pid"].into_iter().zip(pair.into_iter().flatten()) {
                    set(key, id.as_str().unwrap_or_default().to_owned());
                }
            }
            other => set(&key, plain(other)),
        }
    }
    for (key, value) in json["upload"].as_object().into_iter().flatten() {
        let key = match key.as_str() {
            "maximum_ram_size" => "maximum_data_size",
            other => other,
        };
        set(&format!("upload.{key}"), plain(value));
    }
    let find = |wanted: &str| {
        properties
            .iter()
            .find(|(key, _)| key == wanted)
            .map(|(_, value)| value.clone())
            .filter(|it| !it.is_empty())
    };
    if find("build.mcu").is_none() {
        return Err(BoardError::NoChip);
    }
    // The macro by which sources know the board is spelled out there; a core's recipe makes it of a name.
    if let Some(flags) = find("build.extra_flags") {
        const MACRO: &str = "-DARDUINO_";
        let is_macro = |word: &&str| {
            word.starts_with(MACRO) && !word.contains('=') && !word.starts_with("-DARDUINO_ARCH_")
        };
        if let Some(word) = flags.split_whitespace().find(is_macro) {
            let rest: Vec<_> = flags.split_whitespace().filter(|other| *other != word).collect();
            properties.retain(|(key, _)| key != "build.extra_flags");
            properties.push(("build.extra_flags".to_owned(), rest.join(" ")));
            properties.push(("build.board".to_owned(), word[MACRO.len()..].to_owned()));
        }
    }
    Ok(properties)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_of_json() {
        let text = r#"{"build": {"core": "arduino", "extra_flags": "-DARDUINO_AVR_MINE -DX", "f_cpu": "8000000L",
            "hwids": [["0x2341", "0x0043"], ["0x2A03", "0x0043"]], "mcu": "atmega328p", "variant": "standard"},
            "frameworks": ["arduino"], "name": "Mine",
            "upload": {"maximum_ram_size": 2048, "maximum_size": 32256, "protocol": "arduino", "require_upload_port": true}}"#;
        let properties = board_properties(text).unwrap();
        let get =
            |wanted: &str| properties.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        for (key, value) in [
            ("name", "Mine"),
            ("build.mcu", "atmega328p"),
            ("build.f_cpu", "8000000L"),
            ("build.board", "AVR_MINE"),
            ("build.extra_flags", "-DX"),
            ("build.vid", "0x2341"),
            ("upload.maximum_data_size", "2048"),
            ("upload.maximum_size", "32256"),
        ] {
            assert_eq!(get(key), Some(value), "{key}");
        }
        assert!(matches!(board_properties("{"), Err(BoardError::Syntax { line: 1, .. })));
        assert_eq!(board_properties("{}"), Err(BoardError::NoChip));
    }

    #[test]
    fn what_is_said_of_a_board_by_flags() {
        let text = r#"{"build": {"extra_flags": "-DARDUINO_SAMD_ZERO -DARDUINO_ARCH_SAMD -D ARDUINO_FEATHER -D X -DY=1 -mfix"}}"#;
        let flags = board_flags(text);
        assert_eq!(flags.macros, ["SAMD_ZERO", "FEATHER"]);
        assert_eq!(flags.others, ["-DX", "-DY=1", "-mfix"]);
        assert_eq!(
            board_flags(
                &text.replace("\"-DARDUINO_SAMD", "[\"-DARDUINO_SAMD").replace("-mfix\"", "-mfix\"]")
            ),
            flags
        );
        assert_eq!(board_flags("no JSON"), BoardFlags::default());
    }

    #[test]
    fn names_of_boards() {
        assert_eq!(board_named("atmelavr", "uno"), Some("arduino:avr:uno"));
        assert_eq!(board_named("atmelavr", "megaatmega2560"), Some("arduino:avr:mega:cpu=atmega2560"));
        assert_eq!(board_named("atmelavr", "none"), None);
        for line in NAMES.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(line.split_whitespace().count(), 3, "{line}");
        }
    }
}
