//! What a library says of itself: `library.json` (PlatformIO documentation, "library.json") and `library.properties` (Arduino library
//! specification).

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

/// A library's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibraryManifest {
    /// Its name; empty where it does not say.
    pub name: String,
    /// Its version, likewise.
    pub version: String,
    /// The folder of its sources, from its own.
    pub sources: Option<String>,
    /// The folder of its headers, from its own.
    pub include: Option<String>,
    /// Which of its sources are compiled (see `build_src_filter`).
    pub filter: Option<String>,
    /// Flags of its own.
    pub flags: Vec<String>,
    /// Names of the libraries that it needs.
    pub dependencies: Vec<String>,
    /// Architectures that it is for; none is any.
    pub architectures: Vec<String>,
    /// PlatformIO's frameworks that it is for (PlatformIO documentation, "library.json", `frameworks`); none is any.
    pub frameworks: Vec<String>,
    /// PlatformIO's platforms that it is for (likewise, `platforms`); none is any.
    pub platforms: Vec<String>,
    /// How it wants to be told apart by them (`libCompatMode`), where it says so.
    pub compat_mode: Option<String>,
    /// What of it is compiled already (Arduino library specification, "precompiled").
    pub precompiled: Precompiled,
    /// What it is linked with.
    pub link_flags: String,
    /// In a sketch its objects are linked as an archive: what nobody asks for is left out (Arduino library specification,
    /// `dot_a_linkage`).
    pub dot_a_linkage: bool,
    /// Likewise in a PlatformIO project (PlatformIO documentation, "library.json", `libArchive`); none where it does not say.
    pub lib_archive: Option<bool>,
    /// What it says of its build that is not followed: keys of its `library.json`.
    pub passed_over: Vec<&'static str>,
    /// It is one of Arduino's: below a folder without `src`, only the folder itself and `utility` are sources.
    pub is_arduino: bool,
}

/// Frameworks, as PlatformIO calls them, that one of Arduino's libraries is for.
pub const ARDUINO: [&str; 2] = ["arduino", "energia"];

/// Architectures, as Arduino calls them, and the platforms that PlatformIO builds for them with; what is not here says nothing to it.
const PLATFORMS: [(&str, &str); 9] = [
    ("avr", "atmelavr"),
    ("sam", "atmelsam"),
    ("samd", "atmelsam"),
    ("esp8266", "espressif8266"),
    ("esp32", "espressif32"),
    ("arc32", "intel_arc32"),
    ("stm32", "ststm32"),
    ("nrf52", "nordicnrf52"),
    ("rp2040", "raspberrypi"),
];
/// What the platform of one chip was called when there was one.
const ESPRESSIF: [&str; 2] = ["espressif", "espressif8266"];

/// What of a library is compiled already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precompiled {
    /// Nothing.
    #[default]
    No,
    /// Some: its sources are compiled too.
    Also,
    /// All, for the processors that it has it for: for those its sources are not compiled.
    Instead,
}

/// What is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {why}")]
pub struct ManifestError {
    /// From one.
    pub line: usize,
    /// The parser's words.
    pub why: String,
}

/// A text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    /// The names that are meant, in small letters: one text has commas between them, and a star is any.
    fn listed(self) -> Vec<String> {
        let names: Vec<String> = match self {
            Self::One(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            Self::Many(names) => names,
        };
        if names.iter().any(|name| name == "*") {
            return Vec::new();
        }
        names.into_iter().filter(|name| !name.is_empty()).map(|name| name.to_lowercase()).collect()
    }

    fn joined(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Many(texts) => texts.join(" "),
        }
    }
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    build: Option<JsonBuild>,
    dependencies: Option<serde_json::Value>,
    frameworks: Option<Texts>,
    /// Texts, where it is of use.
    platforms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonBuild {
    src_dir: Option<String>,
    include_dir: Option<String>,
    src_filter: Option<Texts>,
    lib_archive: Option<bool>,
    flags: Option<Texts>,
    unflags: Option<IgnoredAny>,
    extra_script: Option<IgnoredAny>,
    #[serde(rename = "libLDFMode")]
    lib_ldf_mode: Option<IgnoredAny>,
    lib_compat_mode: Option<serde_json::Value>,
}

impl JsonBuild {
    fn passed_over(&self) -> Vec<&'static str> {
        let said = [
            ("build.unflags", &self.unflags),
            ("build.extraScript", &self.extra_script),
            ("build.libLDFMode", &self.lib_ldf_mode),
        ];
        said.into_iter().filter(|(_, said)| said.is_some()).map(|(key, _)| key).collect()
    }
}

impl LibraryManifest {
    /// Reads `library.json`.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let json: Json = serde_json::from_str(text)
            .map_err(|error| ManifestError { line: error.line(), why: error.to_string() })?;
        let build = json.build;
        let dependencies = json.dependencies.map(dependencies).unwrap_or_default();
        let frameworks = json.frameworks.map(Texts::listed).unwrap_or_default();
        let platforms = json.platforms.and_then(|value| serde_json::from_value::<Texts>(value).ok());
        let mut platforms = platforms.map(Texts::listed).unwrap_or_default();
        for platform in platforms.iter_mut().filter(|platform| *platform == ESPRESSIF[0]) {
            ESPRESSIF[1].clone_into(platform);
        }
        let (name, version) = (json.name, json.version);
        let mut manifest = Self { name, version, dependencies, frameworks, platforms, ..Self::default() };
        if let Some(build) = build {
            manifest.passed_over = build.passed_over();
            manifest.sources = build.src_dir;
            manifest.include = build.include_dir;
            manifest.filter = build.src_filter.map(Texts::joined);
            manifest.lib_archive = build.lib_archive;
            // It may be its number, too.
            let text =
                |mode: serde_json::Value| mode.as_str().map_or_else(|| mode.to_string(), str::to_lowercase);
            manifest.compat_mode = build.lib_compat_mode.map(text);
            manifest.flags = match build.flags {
                None => Vec::new(),
                Some(Texts::One(flags)) => vec![flags],
                Some(Texts::Many(flags)) => flags,
            };
        }
        Ok(manifest)
    }

    /// Reads `library.properties`: lines `key=value`; what is none of that says nothing.
    #[must_use]
    pub fn from_properties(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let frameworks = ARDUINO.map(str::to_owned).to_vec();
        let mut manifest = Self { is_arduino: true, frameworks, ..Self::default() };
        for (key, value) in lines.filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            match key.trim() {
                "name" => value.clone_into(&mut manifest.name),
                "version" => value.clone_into(&mut manifest.version),
                "dot_a_linkage" => manifest.dot_a_linkage = value == "true",
                "ldflags" => value.clone_into(&mut manifest.link_flags),
                "precompiled" => {
                    manifest.precompiled = match value {
                        "true" => Precompiled::Also,
                        "full" => Precompiled::Instead,
                        _ => Precompiled::No,
                    };
                }
                "architectures" => {
                    let names: Vec<_> =
                        value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
                    let is_any = names.contains(&"*");
                    let platforms = PLATFORMS.iter().filter(|(name, _)| !is_any && names.contains(name));
                    manifest.platforms = platforms.map(|(_, platform)| (*platform).to_owned()).collect();
                    let named = names.into_iter().filter(|name| *name != "*");
                    manifest.architectures = named.map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        manifest
    }
}

/// A list of names or of tables with one, or a table of names.
fn dependencies(value: serde_json::Value) -> Vec<String> {
    let name =
        |value: &serde_json::Value| value.as_str().or_else(|| value.get("name")?.as_str()).map(str::to_owned);
    match value {
        serde_json::Value::Array(all) => all.iter().filter_map(name).collect(),
        serde_json::Value::Object(all) if all.contains_key("name") => {
            all.get("name").and_then(|name| name.as_str()).map(str::to_owned).into_iter().collect()
        }
        serde_json::Value::Object(all) => {
            all.keys().map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds() {
        let json = r#"{"name": "Lib", "version": "1.2.3", "build": {"srcDir": "code", "flags": "-DX",
            "srcFilter": ["+<*>", "-<x/>"]}, "dependencies": [{"name": "Other"}, "Third"]}"#;
        let manifest = LibraryManifest::from_json(json).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("Lib", "1.2.3"));
        assert_eq!(
            (manifest.sources.as_deref(), manifest.filter.as_deref()),
            (Some("code"), Some("+<*> -<x/>"))
        );
        assert_eq!(manifest.flags, ["-DX"]);
        assert_eq!(manifest.dependencies, ["Other", "Third"]);
        let map = LibraryManifest::from_json(r#"{"dependencies": {"o/A": "^1", "B": "*"}}"#).unwrap();
        assert_eq!(map.dependencies, ["B", "A"]);
        assert_eq!(LibraryManifest::from_json("{\n x}").unwrap_err().line, 2);
        let manifest =
            LibraryManifest::from_properties("# no\nname=Servo\nversion = 1.1\narchitectures=avr, sam\n");
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("Servo", "1.1"));
        assert_eq!(manifest.architectures, ["avr", "sam"]);
        let manifest = LibraryManifest::from_properties("precompiled=full\nldflags=-lm -lc\n");
        assert_eq!((manifest.precompiled, manifest.link_flags.as_str()), (Precompiled::Instead, "-lm -lc"));
        assert!(LibraryManifest::from_properties("architectures=*").architectures.is_empty());
        assert!(LibraryManifest::from_properties("dot_a_linkage=true\n").dot_a_linkage);
        let json = r#"{"build": {"libArchive": false, "extraScript": "x.py", "libLDFMode": "deep"}}"#;
        let manifest = LibraryManifest::from_json(json).unwrap();
        assert_eq!(manifest.lib_archive, Some(false));
        assert_eq!(manifest.passed_over, ["build.extraScript", "build.libLDFMode"]);
    }
}
