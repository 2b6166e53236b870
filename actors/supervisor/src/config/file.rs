//! A file of settings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use farmhand_api::Place;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Fault};
use super::place::Text;
use super::{Layer, Origin, package, schema, shown, value};

/// The table of environments: each `[env.NAME]` has all keys again.
const ENVIRONMENTS: &str = "env";
/// A file of settings is small; what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) settings: Layer,
    pub(super) environments: BTreeMap<String, Layer>,
}

/// A file's text; none where there is no such file.
pub(crate) fn text_of(path: &Path) -> Result<Option<String>, ConfigError> {
    let read = fs::metadata(path).and_then(|about| {
        // A pipe would never end.
        if !about.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        if about.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has {} bytes, and may have {FILE_BYTES_MAX}",
                about.len()
            )));
        }
        fs::read_to_string(path)
    });
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(ConfigError::read(path, &error)),
    }
}

/// Reads and checks a file; none where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Read>, ConfigError> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    let file = shown(path);
    let text = Text { file: &file, text: &text };
    let document = parse(text)?;
    let mut read = Read::default();
    for (name, value) in as_they_stand(document.get_ref()) {
        if name.get_ref() == ENVIRONMENTS {
            for (name, value) in table(ENVIRONMENTS, value, text)? {
                let mut layer = Layer::new();
                let path = format!("{ENVIRONMENTS}.{}", name.get_ref());
                walk("", table(&path, value, text)?, text, &mut layer)?;
                read.environments.insert(name.get_ref().to_string(), layer);
            }
        } else if name.get_ref() == package::PACKAGES {
            // They are no settings: whoever installs them reads them. A mistake is told by every verb.
            package::read_table(value, text, path.parent().unwrap_or(path))?;
        } else {
            one("", name, value, text, &mut read.settings)?;
        }
    }
    Ok(Some(read))
}

/// A document, or where it is none.
pub(crate) fn parse(text: Text<'_>) -> Result<Spanned<DeTable<'_>>, ConfigError> {
    DeTable::parse(text.text).map_err(|error| {
        let place = text.place(error.span().map_or(0, |span| span.start));
        ConfigError::in_file(Fault::Syntax(error.message().replace('\n', ", ")), place)
    })
}

/// A table, as `path` must be.
pub(crate) fn table<'t, 'i>(
    path: &str,
    value: &'t Spanned<DeValue<'i>>,
    text: Text<'_>,
) -> Result<&'t DeTable<'i>, ConfigError> {
    value.get_ref().as_table().ok_or_else(|| {
        let why = "it wants a table: keys of its own".to_owned();
        let fault = Fault::Value { key: format!("[{path}]"), why, nearest: None };
        ConfigError::in_file(fault, text.place(value.span().start))
    })
}

/// In the order of the file: the first mistake is told.
pub(crate) fn as_they_stand<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn walk(prefix: &str, table: &DeTable<'_>, text: Text<'_>, layer: &mut Layer) -> Result<(), ConfigError> {
    as_they_stand(table).into_iter().try_for_each(|(name, value)| one(prefix, name, value, text, layer))
}

fn one(
    prefix: &str,
    name: &Spanned<toml::de::DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    text: Text<'_>,
    layer: &mut Layer,
) -> Result<(), ConfigError> {
    let path =
        if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
    if let Some(key) = schema::key(&path) {
        let read = value::from_toml(key, value, &text)?;
        layer.push((key.path, read, Origin::File(text.place(value.span().start))));
        return Ok(());
    }
    if schema::is_table(&path) {
        return walk(&path, table(&path, value, text)?, text, layer);
    }
    let place: Place = text.place(name.span().start);
    Err(ConfigError::in_file(Fault::unknown(prefix, name.get_ref()), place))
}
