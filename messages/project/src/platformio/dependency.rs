//! `lib_deps`: what a project says it needs (PlatformIO documentation, "lib_deps", "Package Specifications").

/// Where it is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The registry: by its name.
    Registry {
        /// Whose it is.
        owner: Option<String>,
        /// Which versions will do: `^6.1`.
        requirement: Option<String>,
    },
    /// A git repository, and what of it.
    Git {
        /// Where it is.
        url: String,
        /// A branch, a tag or a commit.
        reference: Option<String>,
    },
    /// An archive.
    Url(String),
    /// A folder of this machine.
    Folder(String),
}

/// A library that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its name; empty where only its repository is known.
    pub name: String,
    /// Where from.
    pub origin: Origin,
}

impl Dependency {
    /// Reads one of `lib_deps`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some((name, url)) = text.split_once('=')
            && !name.contains([':', '/', '@', '<', '>', '~', '^'])
            && is_place(url.trim())
        {
            return Self { name: name.trim().to_owned(), origin: place(url.trim()) };
        }
        if is_place(text) {
            return Self { name: name_of(text), origin: place(text) };
        }
        let (named, requirement) = match text.split_once('@') {
            Some((named, requirement)) => (named.trim(), Some(requirement.trim().to_owned())),
            None => (text, None),
        };
        let (owner, name) = match named.split_once('/') {
            Some((owner, name)) => (Some(owner.trim().to_owned()), name.trim()),
            None => (None, named),
        };
        Self { name: name.to_owned(), origin: Origin::Registry { owner, requirement } }
    }
}

fn is_place(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with(['.', '/', '~'])
}

fn place(text: &str) -> Origin {
    for scheme in ["file://", "symlink://"] {
        if let Some(path) = text.strip_prefix(scheme) {
            return Origin::Folder(path.to_owned());
        }
    }
    if text.starts_with(['.', '/', '~']) {
        return Origin::Folder(text.to_owned());
    }
    let (url, reference) = match text.split_once('#') {
        Some((url, reference)) => (url, Some(reference.to_owned())),
        None => (text, None),
    };
    let is_archive = [".zip", ".tar.gz", ".tar.bz2", ".tgz"].iter().any(|end| url.ends_with(end));
    match is_archive {
        true => Origin::Url(url.to_owned()),
        false => Origin::Git { url: url.trim_start_matches("git+").to_owned(), reference },
    }
}

/// As a repository or a folder is called.
fn name_of(place: &str) -> String {
    let place = place.split('#').next().unwrap_or(place).trim_end_matches('/');
    let last = place.rsplit(['/', ':']).next().unwrap_or(place);
    last.trim_end_matches(".git").to_owned()
}

/// Whether a version will do (PlatformIO documentation, "Semantic Versioning": as npm's ranges, with `==` and `!=`; a version alone is
/// just that one). A version that is none is left to be; a range that is none is met by nothing.
#[must_use]
pub fn will_do(requirement: &str, version: &str) -> bool {
    let Ok(version) = semver::Version::parse(&whole(version)) else { return true };
    let any = requirement.split("||").map(str::trim);
    any.into_iter().any(|range| is_in(range, &version))
}

/// Whether a version is in a range, which is all of its parts.
fn is_in(range: &str, version: &semver::Version) -> bool {
    // An operator may stand apart from its version.
    let parts = range.split([',', ' ']).filter(|part| !part.is_empty());
    let mut joined: Vec<String> = Vec::new();
    for part in parts {
        match joined.last_mut().filter(|last| last.ends_with(['<', '>', '=', '!', '^', '~'])) {
            Some(operator) => operator.push_str(part),
            None => joined.push(part.to_owned()),
        }
    }
    let is = |part: &str| semver::VersionReq::parse(part).is_ok_and(|part| part.matches(version));
    joined.iter().all(|part| match part.strip_prefix("!=") {
        Some(other) => semver::VersionReq::parse(&format!("={other}")).is_ok_and(|it| !it.matches(version)),
        None if part.starts_with(|c: char| c.is_ascii_digit()) => is(&format!("={part}")),
        None => is(part.strip_prefix('=').filter(|rest| rest.starts_with('=')).unwrap_or(part)),
    })
}

/// With all three numbers: libraries have `1.2`.
fn whole(version: &str) -> String {
    let dots = version.split(['-', '+']).next().unwrap_or(version).matches('.').count();
    match dots {
        0 => format!("{version}.0.0"),
        1 => format!("{version}.0"),
        _ => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_it() {
        let registry = |owner: Option<&str>, requirement: Option<&str>| Origin::Registry {
            owner: owner.map(str::to_owned),
            requirement: requirement.map(str::to_owned),
        };
        let git = |url: &str, reference: Option<&str>| Origin::Git {
            url: url.to_owned(),
            reference: reference.map(str::to_owned),
        };
        for (text, name, origin) in [
            ("Servo", "Servo", registry(None, None)),
            ("bblanchon/ArduinoJson @ ^6.21", "ArduinoJson", registry(Some("bblanchon"), Some("^6.21"))),
            ("ArduinoJson@6.0.0", "ArduinoJson", registry(None, Some("6.0.0"))),
            ("https://x.org/a/Lib.git#v1", "Lib", git("https://x.org/a/Lib.git", Some("v1"))),
            ("git+ssh://git@x.org/a/Lib", "Lib", git("ssh://git@x.org/a/Lib", None)),
            ("Mine=https://x.org/a/b.git", "Mine", git("https://x.org/a/b.git", None)),
            ("https://x.org/Lib-1.zip", "Lib-1.zip", Origin::Url("https://x.org/Lib-1.zip".into())),
            ("symlink://../Lib", "Lib", Origin::Folder("../Lib".into())),
            ("./Lib/", "Lib", Origin::Folder("./Lib/".into())),
        ] {
            assert_eq!(Dependency::parse(text), Dependency { name: name.into(), origin }, "{text}");
        }
    }

    #[test]
    fn versions_that_will_do() {
        for (requirement, version, will) in [
            ("^6.21", "6.21.3", true),
            ("^6.21", "7.0.0", false),
            ("~1.2.3", "1.2.9", true),
            ("1.2.3", "1.2.4", false),
            (">=1.0,<2", "1.9", true),
            (">=1.0 <2", "2.0.0", false),
            ("*", "1", true),
            ("^1 || ^3", "3.1.0", true),
            ("^1", "of today", true),
            ("==9.9", "2.3.4", false),
            ("== 2.3.4", "2.3.4", true),
            ("!=2.3.4", "2.3.4", false),
            (">2.3.3, !=2.4.0", "2.3.4", true),
            ("> 2.3.4,!=2.4.0", "2.3.4", false),
            ("master", "2.3.4", false),
        ] {
            assert_eq!(will_do(requirement, version), will, "{requirement} {version}");
        }
    }
}
