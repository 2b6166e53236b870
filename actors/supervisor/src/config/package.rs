//! `[package.NAME]` of a project: the packages that it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use farmhand_messages::packages::{PackageKind, PackageOrigin, PackageSpec};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::farm_file::{unknown, wrong};
use super::file::{as_they_stand, parse, table, text_of};
use super::nearest::nearest;
use super::place::Text;
use super::{PROJECT_FILE, shown};

/// The table of packages.
pub(super) const PACKAGES: &str = "package";
/// The keys of every package.
const COMMON: &[&str] = &["source", "kind", "version", "strip", "offers", "environment"];
/// What stands for a package's folder, in braces.
const PREFIX: &str = "prefix";
/// What `source` may be, and the keys that it brings.
const SOURCES: &[(&str, &[&str])] = &[
    ("debian", &["package"]),
    ("url", &["url", "mirrors", "sha256"]),
    ("path", &["path", "sha256"]),
    ("git", &["url", "commit"]),
    ("pip", &["project", "sha256"]),
    ("npm", &["project", "sha256"]),
];

/// The packages that a project's settings declare, by name; none where it has no settings. `project` is absolute.
pub(super) fn read_packages(project: &Path) -> Result<Vec<PackageSpec>, ConfigError> {
    let path = project.join(PROJECT_FILE);
    let Some(text) = text_of(&path)? else { return Ok(Vec::new()) };
    let file = shown(&path);
    let text = Text { file: &file, text: &text };
    let document = parse(text)?;
    match document.get_ref().iter().find(|(name, _)| name.get_ref() == PACKAGES) {
        Some((_, value)) => read_table(value, text, project),
        None => Ok(Vec::new()),
    }
}

/// Reads and checks the table of packages. Paths are below `project`.
pub(super) fn read_table(
    value: &Spanned<DeValue<'_>>,
    text: Text<'_>,
    project: &Path,
) -> Result<Vec<PackageSpec>, ConfigError> {
    let mut packages = Vec::new();
    for (name, value) in as_they_stand(table(PACKAGES, value, text)?) {
        let place = text.place(name.span().start);
        let name = name.get_ref().as_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) || !name.bytes().all(plain) {
            let why = "a package's name has letters, digits and - _ . + only".to_owned();
            return Err(wrong(PACKAGES, why, None, place));
        }
        let fields = table(&format!("{PACKAGES}.{name}"), value, text)?;
        let read = Reader { name, fields, start: value.span().start, text }.read(project)?;
        let ours = farmhand_installer::names().any(|ours| ours == name);
        if ours && !matches!(&read.origin, PackageOrigin::Debian { package } if package == name) {
            let why = format!("farmhand itself describes a package {name}: give yours another name");
            return Err(wrong(PACKAGES, why, None, place));
        }
        packages.push(read);
    }
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(packages)
}

/// One package's table.
struct Reader<'t, 'i> {
    name: &'t str,
    fields: &'t DeTable<'i>,
    start: usize,
    text: Text<'t>,
}

impl<'t, 'i> Reader<'t, 'i> {
    fn read(&self, project: &Path) -> Result<PackageSpec, ConfigError> {
        let source = self.word("source", SOURCES.iter().map(|(word, _)| *word))?;
        let own = SOURCES.iter().find(|(word, _)| *word == source).map_or(&[][..], |(_, keys)| keys);
        let known: Vec<_> = COMMON.iter().chain(own).copied().collect();
        for (key, _) in as_they_stand(self.fields) {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(unknown(&format!("{PACKAGES}.{}", self.name), key, &known, self.text));
            }
        }
        let kind = self.word("kind", PackageKind::ALL.iter().map(|kind| kind.as_str()))?;
        let kind = PackageKind::ALL.into_iter().find(|one| one.as_str() == kind);
        let sha256 = || self.text_of("sha256")?.map(|hash| self.hash(&hash)).transpose();
        let origin = match source.as_str() {
            "debian" => {
                let package = self.text_of("package")?.unwrap_or_else(|| self.name.to_owned());
                if !farmhand_installer::names().any(|known| known == package) {
                    let meant = nearest(&package, farmhand_installer::names()).map(str::to_owned);
                    let key = if self.fields.contains_key("package") { "package" } else { "source" };
                    let why = format!("farmhand describes no package {package:?} of Debian's");
                    return Err(self.wrong(key, why, meant));
                }
                PackageOrigin::Debian { package }
            }
            "url" => {
                let mut urls = vec![self.url("url")?];
                for (mirror, value) in self.list("mirrors")? {
                    urls.push(checked_url(&mirror).map_err(|why| self.wrong_at("mirrors", why, value))?);
                }
                let sha256 = sha256()?.ok_or_else(|| self.missing("sha256"))?;
                PackageOrigin::Url { urls, sha256: Some(sha256) }
            }
            "path" => {
                let path = self.text_of("path")?.ok_or_else(|| self.missing("path"))?;
                PackageOrigin::Path { path: super::job::text_of(&project.join(path))?, sha256: sha256()? }
            }
            "git" => {
                let url = self.text_of("url")?.ok_or_else(|| self.missing("url"))?;
                if url.is_empty() || url.starts_with('-') {
                    return Err(self.wrong("url", "it wants a repository".into(), None));
                }
                let commit = self.text_of("commit")?.ok_or_else(|| self.missing("commit"))?;
                let is_hex = commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if !is_hex || !matches!(commit.len(), 40 | 64) {
                    let why = "it wants a commit in full, 40 digits: a branch or a tag moves".to_owned();
                    return Err(self.wrong("commit", why, None));
                }
                PackageOrigin::Git { url, commit }
            }
            word => {
                let project = self.text_of("project")?.unwrap_or_else(|| self.name.to_owned());
                let version = self.text_of("version")?.ok_or_else(|| self.missing("version"))?;
                for (key, text) in [("project", &project), ("version", &version)] {
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+!@/~".contains(&byte);
                    let first = |byte: &u8| byte.is_ascii_alphanumeric() || (word == "npm" && *byte == b'@');
                    if !text.bytes().all(plain) || !text.as_bytes().first().is_some_and(first) {
                        return Err(self.wrong(key, format!("{text:?} is no {key} of {word}'s"), None));
                    }
                }
                match word {
                    "pip" => PackageOrigin::Pip { project, version, sha256: sha256()? },
                    _ => PackageOrigin::Npm { project, version, sha256: sha256()? },
                }
            }
        };
        let mut offers: BTreeSet<_> = self.list("offers")?.into_iter().map(|(offer, _)| offer).collect();
        if let (PackageOrigin::Debian { package }, true) = (&origin, offers.is_empty()) {
            offers.extend(farmhand_installer::offers_of(package).iter().map(|&offer| offer.to_owned()));
        }
        Ok(PackageSpec {
            name: self.name.to_owned(),
            version: self.text_of("version")?,
            kind: kind.unwrap_or(PackageKind::Tool),
            origin,
            strip: self.strip()?,
            offers,
            environment: self.environment()?,
            needed_as: None,
            locked: None,
        })
    }

    fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.fields.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn wrong(&self, key: &str, why: String, nearest: Option<String>) -> ConfigError {
        let at = self.value(key).map_or(self.start, |value| value.span().start);
        wrong(key, why, nearest, self.text.place(at))
    }

    fn wrong_at(&self, key: &str, why: String, value: &Spanned<DeValue<'_>>) -> ConfigError {
        wrong(key, why, None, self.text.place(value.span().start))
    }

    fn missing(&self, key: &str) -> ConfigError {
        let source = self.value("source").map_or(self.start, |value| value.span().start);
        wrong(key, format!("package.{} needs it", self.name), None, self.text.place(source))
    }

    fn text_of(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let text = value.get_ref().as_str();
        text.map(|text| Some(text.to_owned()))
            .ok_or_else(|| self.wrong(key, "it wants a text in quotation marks".into(), None))
    }

    fn word<'w>(
        &self,
        key: &str,
        words: impl Iterator<Item = &'w str> + Clone,
    ) -> Result<String, ConfigError> {
        let Some(word) = self.text_of(key)? else { return Err(self.missing(key)) };
        if words.clone().any(|known| known == word) {
            return Ok(word);
        }
        let meant = nearest(&word, words.clone()).map(str::to_owned);
        let why = format!("there is no {key} {word:?}; there are: {}", words.collect::<Vec<_>>().join(", "));
        Err(self.wrong(key, why, meant))
    }

    fn hash(&self, text: &str) -> Result<[u8; 32], ConfigError> {
        let digit = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(digit).collect();
        let hash = bytes.filter(|_| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let hash: Option<[u8; 32]> = hash.and_then(|bytes| bytes.try_into().ok());
        hash.ok_or_else(|| self.wrong("sha256", "it wants 64 hexadecimal digits".into(), None))
    }

    fn url(&self, key: &str) -> Result<String, ConfigError> {
        let url = self.text_of(key)?.ok_or_else(|| self.missing(key))?;
        checked_url(&url).map_err(|why| self.wrong(key, why, None))
    }

    fn list(&self, key: &str) -> Result<Vec<(String, &'t Spanned<DeValue<'i>>)>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let wants = || "it wants a list of texts".to_owned();
        let list = value.get_ref().as_array().ok_or_else(|| self.wrong(key, wants(), None))?;
        let text = |value: &'t Spanned<DeValue<'i>>| match value.get_ref().as_str() {
            Some(text) => Ok((text.to_owned(), value)),
            None => Err(self.wrong_at(key, wants(), value)),
        };
        list.iter().map(text).collect()
    }

    fn strip(&self) -> Result<bool, ConfigError> {
        match self.value("strip").map(|value| value.get_ref()) {
            None => Ok(false),
            Some(DeValue::Boolean(strip)) => Ok(*strip),
            Some(_) => Err(self.wrong("strip", "it wants true or false".into(), None)),
        }
    }

    fn environment(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let Some(value) = self.value("environment") else { return Ok(BTreeMap::new()) };
        let mut environment = BTreeMap::new();
        for (name, value) in table(&format!("{PACKAGES}.{}.environment", self.name), value, self.text)? {
            let Some(said) = value.get_ref().as_str() else {
                return Err(self.wrong_at("environment", "it wants texts".into(), value));
            };
            let name = name.get_ref();
            if name.is_empty() || name.contains(['=', '\0']) || said.contains('\0') {
                return Err(self.wrong_at("environment", format!("{name:?} is no variable's name"), value));
            }
            if let Some(other) = misspelt(said) {
                let why = format!("it has {{{other}}}: {{prefix}} stands for the package's folder");
                return Err(self.wrong_at("environment", why, value));
            }
            environment.insert(name.to_string(), said.to_owned());
        }
        Ok(environment)
    }
}

/// A word in braces that `{prefix}` was meant to be. Others may be what they are.
fn misspelt(text: &str) -> Option<&str> {
    let mut words =
        text.match_indices('{').filter_map(|(at, _)| text[at + 1..].split_once('}').map(|(word, _)| word));
    words.find(|word| *word != PREFIX && nearest(word, [PREFIX]).is_some())
}

fn checked_url(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_one = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    if is_one { Ok(url.to_owned()) } else { Err(format!("{url:?} is no http:// or https:// address")) }
}
