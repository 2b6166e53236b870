//! A profile's file.

use std::collections::BTreeMap;

use farmhand_image::android::KernelEncoding;
use farmhand_image::android::{CMDLINE_BYTES_MAX, is_page_size};
use farmhand_messages::fastboot::{BootParameters, Probe, Profile, UsbIdentity, Wanted};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{ConfigError, Fault, Text, as_they_stand, nearest, parse, table};

const PROFILE: &[&str] = &["id", "title", "match", "next", "probe", "boot"];
const MATCH: &[&str] = &["usb", "serial", "port-path"];
const NEXT: &[&str] = &["usb", "banner"];
/// What a variable can be wanted to be; a probe has one of them.
const WANTED: &[&str] = &["equals", "starts-with", "not-equals", "exists", "not-exists"];
const PROBE: &[&str] = &["getvar", "equals", "starts-with", "not-equals", "exists", "not-exists"];
const BOOT: &[&str] = &[
    "header-version",
    "page-size",
    "base",
    "kernel-offset",
    "ramdisk-offset",
    "second-offset",
    "tags-offset",
    "dtb-offset",
    "max-kernel-bytes",
    "max-ramdisk-bytes",
    "max-image-bytes",
    "kernel",
    "cmdline",
];
const ENCODINGS: &[(&str, KernelEncoding)] = &[
    ("image", KernelEncoding::Plain),
    ("image.gz", KernelEncoding::Gzip),
    ("image+dtb", KernelEncoding::PlainWithDtb),
    ("image.gz+dtb", KernelEncoding::GzipWithDtb),
];
/// Versions 3 and 4 are of images that are taken as they are.
const HEADER_VERSION_MAX: u64 = 4;

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads the profile of a file, whose name without `.toml` is its id.
pub fn read_profile(id: &str, file: &str, text: &str) -> Result<Profile, ConfigError> {
    let text = Text { file, text };
    let document = parse(text)?;
    let top = Keys::of("", document.get_ref(), PROFILE, text, 0)?;
    if let Some(value) = top.get("id")
        && top.string("id", value)? != id
    {
        return Err(top.wrong("id", format!("the file's name says {id:?}"), value));
    }
    let mut profile = Profile {
        id: id.into(),
        title: top.optional("title")?.unwrap_or_else(|| id.into()),
        origin: file.into(),
        identity: UsbIdentity::default(),
        probes: Vec::new(),
        boot: BootParameters::default(),
        next: Vec::new(),
        banner: None,
    };
    if let Some(value) = top.get("match") {
        let keys = top.inside("match", value, MATCH)?;
        profile.identity = UsbIdentity {
            usb: keys.usb_ids()?,
            serial: keys.optional("serial")?,
            port_path: keys.optional("port-path")?,
        };
    }
    if let Some(value) = top.get("next") {
        let keys = top.inside("next", value, NEXT)?;
        (profile.next, profile.banner) = (keys.usb_ids()?, keys.optional("banner")?);
    }
    if let Some(value) = top.get("probe") {
        let each = value.get_ref().as_array();
        let each = each.ok_or_else(|| top.wrong("probe", "each one is written [[probe]]".into(), value))?;
        for value in each.iter() {
            profile.probes.push(probe(&top.inside("probe", value, PROBE)?)?);
        }
    }
    if let Some(value) = top.get("boot") {
        profile.boot = boot(&top.inside("boot", value, BOOT)?)?;
    }
    if profile.identity == UsbIdentity::default() && profile.probes.is_empty() {
        let why = "it needs match or [[probe]]: else it would be the profile of every device".to_owned();
        let fault = Fault::Value { key: "profile".into(), why, nearest: None };
        return Err(ConfigError::in_file(fault, text.place(0)));
    }
    Ok(profile)
}

fn probe(keys: &Keys<'_, '_>) -> Result<Probe, ConfigError> {
    let getvar = keys.optional("getvar")?;
    let getvar = getvar.ok_or_else(|| keys.lacks("it needs getvar: the variable to ask for".into()))?;
    let mut wanted = WANTED.iter().filter_map(|&key| Some((key, keys.get(key)?)));
    let (key, value) =
        wanted.next().ok_or_else(|| keys.lacks(format!("it needs one of {}", WANTED.join(", "))))?;
    if let Some((other, value)) = wanted.next() {
        return Err(keys.wrong(other, format!("there is {key} already, and a probe has one"), value));
    }
    let is_true = || match value.get_ref() {
        DeValue::Boolean(true) => Ok(()),
        _ => Err(keys.wrong(key, "it wants true".into(), value)),
    };
    let wanted = match key {
        "equals" => Wanted::Equals(keys.string(key, value)?),
        "starts-with" => Wanted::StartsWith(keys.string(key, value)?),
        "not-equals" => Wanted::NotEquals(keys.string(key, value)?),
        "exists" => is_true().map(|()| Wanted::Exists)?,
        _ => is_true().map(|()| Wanted::NotExists)?,
    };
    Ok(Probe { getvar, wanted })
}

fn boot(keys: &Keys<'_, '_>) -> Result<BootParameters, ConfigError> {
    let mut boot = BootParameters::default();
    if let Some((version, value)) = keys.number("header-version")? {
        let version = u32::try_from(version).ok().filter(|&version| u64::from(version) <= HEADER_VERSION_MAX);
        boot.layout.header_version =
            version.ok_or_else(|| keys.wrong("header-version", "it wants 0 to 4".into(), value))?;
    }
    if let Some((bytes, value)) = keys.number("page-size")? {
        let bytes = u32::try_from(bytes).ok().filter(|&bytes| is_page_size(bytes));
        let why = "it wants a power of two from 2048 to 131072";
        boot.layout.page_bytes = bytes.ok_or_else(|| keys.wrong("page-size", why.into(), value))?;
    }
    if let Some((base, _)) = keys.number("base")? {
        boot.layout.base = base;
    }
    for (key, offset, bits) in [
        ("kernel-offset", &mut boot.layout.kernel_offset, 32),
        ("ramdisk-offset", &mut boot.layout.ramdisk_offset, 32),
        ("second-offset", &mut boot.layout.second_offset, 32),
        ("tags-offset", &mut boot.layout.tags_offset, 32),
        ("dtb-offset", &mut boot.layout.dtb_offset, 64),
    ] {
        let said = keys.number(key)?;
        *offset = said.map_or(*offset, |(number, _)| number);
        let fits =
            boot.layout.base.checked_add(*offset).is_some_and(|sum| bits == 64 || u32::try_from(sum).is_ok());
        if !fits {
            let why = format!("{:#x} + {offset:#x} is no address of {bits} bits", boot.layout.base);
            let value = said.map(|(_, value)| value).or_else(|| keys.get("base"));
            return Err(
                value.map_or_else(|| keys.lacks(why.clone()), |value| keys.wrong(key, why.clone(), value))
            );
        }
    }
    for (key, max) in [
        ("max-kernel-bytes", &mut boot.layout.kernel_bytes_max),
        ("max-ramdisk-bytes", &mut boot.layout.ramdisk_bytes_max),
        ("max-image-bytes", &mut boot.layout.image_bytes_max),
    ] {
        match keys.number(key)? {
            Some((0, value)) => {
                return Err(keys.wrong(key, "leave it out where there is no limit".into(), value));
            }
            said => *max = said.map(|(number, _)| number),
        }
    }
    if let Some(value) = keys.get("kernel") {
        let said = keys.string("kernel", value)?;
        let names = ENCODINGS.iter().map(|&(name, _)| name);
        let found = ENCODINGS.iter().find(|(name, _)| *name == said);
        let wrong = || {
            let meant = nearest(&said, names.clone()).map(str::to_owned);
            let why = format!("it wants {}, not {said:?}", names.clone().collect::<Vec<_>>().join(", "));
            keys.fault("kernel", why, meant, value)
        };
        boot.kernel = found.ok_or_else(wrong)?.1;
    }
    if let Some(value) = keys.get("cmdline") {
        boot.cmdline = keys.string("cmdline", value)?;
        if boot.cmdline.len() > CMDLINE_BYTES_MAX {
            let why = format!("it has {} bytes, and {CMDLINE_BYTES_MAX} fit", boot.cmdline.len());
            return Err(keys.wrong("cmdline", why, value));
        }
    }
    Ok(boot)
}

/// The keys of one table, by the names that are ours.
struct Keys<'t, 'i> {
    path: &'t str,
    found: BTreeMap<&'static str, &'t Value<'i>>,
    text: Text<'t>,
    /// Where the table begins.
    start: usize,
}

impl<'t, 'i> Keys<'t, 'i> {
    fn of(
        path: &'t str,
        table: &'t DeTable<'i>,
        known: &'static [&'static str],
        text: Text<'t>,
        start: usize,
    ) -> Result<Self, ConfigError> {
        let mut keys = Self { path, found: BTreeMap::new(), text, start };
        for (name, value) in as_they_stand(table) {
            let written = name.get_ref().replace('_', "-");
            let place = || text.place(name.span().start);
            let Some(&key) = known.iter().find(|&&key| key == written) else {
                let fault = Fault::UnknownKey {
                    key: name.get_ref().to_string(),
                    table: path.into(),
                    nearest: nearest(&written, known.iter().copied()).map(str::to_owned),
                    known: known.iter().map(|&key| key.to_owned()).collect(),
                };
                return Err(ConfigError::in_file(fault, place()));
            };
            if keys.found.insert(key, value).is_some() {
                let why = "it is there twice, with - and with _".to_owned();
                let fault = Fault::Value { key: keys.full(key), why, nearest: None };
                return Err(ConfigError::in_file(fault, place()));
            }
        }
        Ok(keys)
    }

    fn inside(
        &self,
        path: &'t str,
        value: &'t Value<'i>,
        known: &'static [&'static str],
    ) -> Result<Self, ConfigError> {
        Self::of(path, table(path, value, self.text)?, known, self.text, value.span().start)
    }

    fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.found.get(key).copied()
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }

    fn fault(&self, key: &str, why: String, nearest: Option<String>, value: &Value<'_>) -> ConfigError {
        let fault = Fault::Value { key: self.full(key), why, nearest };
        ConfigError::in_file(fault, self.text.place(value.span().start))
    }

    fn wrong(&self, key: &str, why: String, value: &Value<'_>) -> ConfigError {
        self.fault(key, why, None, value)
    }

    fn lacks(&self, why: String) -> ConfigError {
        let fault = Fault::Value { key: self.path.into(), why, nearest: None };
        ConfigError::in_file(fault, self.text.place(self.start))
    }

    fn string(&self, key: &str, value: &Value<'_>) -> Result<String, ConfigError> {
        match value.get_ref().as_str() {
            Some("") if key != "cmdline" => Err(self.wrong(key, "it is empty".into(), value)),
            Some(text) if text.contains('\0') => Err(self.wrong(key, "it has a zero in it".into(), value)),
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong(key, "it wants a text in quotes".into(), value)),
        }
    }

    fn optional(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.get(key).map(|value| self.string(key, value)).transpose()
    }

    fn number(&self, key: &str) -> Result<Option<(u64, &'t Value<'i>)>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let wrong = || self.wrong(key, "it wants a whole number, such as 4096 or 0x8000".into(), value);
        number.map(|number| Some((number, value))).ok_or_else(wrong)
    }

    fn usb_ids(&self) -> Result<Vec<String>, ConfigError> {
        let Some(value) = self.get("usb") else { return Ok(Vec::new()) };
        let list = value.get_ref().as_array().filter(|list| !list.is_empty());
        let why = || "it wants a list, such as [\"18d1:d00d\"]".to_owned();
        let list = list.ok_or_else(|| self.wrong("usb", why(), value))?;
        let is_id = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let read = |value: &Value<'_>| {
            let id = self.string("usb", value)?;
            let good = id.split_once(':').is_some_and(|(vendor, product)| is_id(vendor) && is_id(product));
            let why = || format!("{id:?} is not vendor:product in hexadecimal, such as 18d1:d00d");
            if good { Ok(id.to_ascii_lowercase()) } else { Err(self.wrong("usb", why(), value)) }
        };
        list.iter().map(read).collect()
    }
}
