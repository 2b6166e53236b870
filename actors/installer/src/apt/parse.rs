//! What apt prints, read. Pure.

use std::fmt;

/// One archive of the closure, by what `apt-get --print-uris` says of it:
/// `'URI' FILE SIZE HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Printed {
    /// The package.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its architecture, or `all`.
    pub(crate) architecture: String,
    /// The file's name, as apt writes it: the version's colon is escaped.
    pub(crate) file: String,
    /// In bytes.
    pub(crate) bytes: u64,
}

/// Reads the lines that name an archive; the others are apt's prose.
pub(crate) fn printed_uris(text: &str) -> Result<Vec<Printed>, String> {
    text.lines().filter(|line| line.starts_with('\'')).map(printed_uri).collect()
}

fn printed_uri(line: &str) -> Result<Printed, String> {
    let read = || {
        // Spaces and quotes in a URI are escaped.
        let (_uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let mut fields = rest.split(' ');
        let file = fields.next()?;
        let bytes = fields.next()?.parse().ok()?;
        let (name, version, architecture) = archive_name(file)?;
        Some(Printed { name, version, architecture, file: file.to_owned(), bytes })
    };
    read().ok_or_else(|| line.to_owned())
}

/// `NAME_VERSION_ARCH.deb`: no part of it may hold an underscore (Debian Policy 5.6.1, 5.6.12), and apt escapes it.
fn archive_name(file: &str) -> Option<(String, String, String)> {
    if file.contains('/') {
        return None;
    }
    let (stem, _extension) = file.rsplit_once('.')?;
    let mut parts = stem.split('_');
    let name = unescape(parts.next()?)?;
    let version = unescape(parts.next()?)?;
    let architecture = unescape(parts.next()?)?;
    let whole = parts.next().is_none() && !name.is_empty() && !version.is_empty() && !architecture.is_empty();
    whole.then_some((name, version, architecture))
}

/// Undoes `%2b`.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

/// What apt's signed index says of a package: a paragraph of `apt-cache show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// The package.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its architecture, or `all`.
    pub(crate) architecture: String,
    /// In bytes.
    pub(crate) bytes: u64,
    /// What it unpacks to, about, in bytes; 0 where it is not said. Its field is in KiB (Debian Policy 5.6.20).
    pub(crate) unpacked_bytes: u64,
    /// Of the archive.
    pub(crate) sha256: [u8; 32],
    /// Names that any alternative of any dependency mentions.
    pub(crate) depends: Vec<String>,
    /// Names that it stands for.
    pub(crate) provides: Vec<String>,
}

/// Reads the paragraphs of `apt-cache show`.
pub(crate) fn indexed(text: &str) -> Result<Vec<Indexed>, String> {
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(paragraph).collect()
}

fn paragraph(text: &str) -> Result<Indexed, String> {
    let of = |field: &str| text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
    let needed = |field: &str| {
        of(field).map(str::trim).ok_or_else(|| format!("{field} of {}", of("Package").unwrap_or("?")))
    };
    let mut depends = names_in(of("Depends").unwrap_or_default());
    depends.extend(names_in(of("Pre-Depends").unwrap_or_default()));
    Ok(Indexed {
        name: needed("Package")?.to_owned(),
        version: needed("Version")?.to_owned(),
        architecture: needed("Architecture")?.to_owned(),
        bytes: needed("Size")?.parse().map_err(|_| "Size".to_owned())?,
        unpacked_bytes: of("Installed-Size").and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0)
            << 10,
        sha256: Sha256::from_hex(needed("SHA256")?).ok_or_else(|| "SHA256".to_owned())?.0,
        depends,
        provides: names_in(of("Provides").unwrap_or_default()),
    })
}

/// The names in `a (>= 1), b:any | c`.
fn names_in(relations: &str) -> Vec<String> {
    let name = |relation: &str| {
        let name = relation.trim().split([' ', '(', ':', '[']).next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    };
    relations.split([',', '|']).filter_map(name).collect()
}

/// A hash, in people's and apt's notation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sha256(pub(crate) [u8; 32]);

impl Sha256 {
    /// Reads 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URIS: &str = "\
Reading package lists...
The following NEW packages will be installed:
  libgmp10 libstdc++6
'http://example.invalid/pool/main/g/gmp/libgmp10_6.2.1%2bdfsg1-1.1_amd64.deb' libgmp10_2%3a6.2.1+dfsg1-1.1_amd64.deb 562588 MD5Sum:2209aba19c24b8f42a1d7a154ba47cd1
'http://example.invalid/pool/main/g/gcc-12/libstdc%2b%2b6_12.2.0-14%2bdeb12u1_amd64.deb' libstdc++6_12.2.0-14+deb12u1_amd64.deb 612604 SHA256:5cd3
'mirror+file:/etc/apt/mirror.txt/pool/libx_1_all.deb' libstdc%2b%2b6_1_all.deb 7\u{20}
";

    #[test]
    fn reads_the_closure() {
        let all = printed_uris(URIS).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[0],
            Printed {
                name: "libgmp10".into(),
                version: "2:6.2.1+dfsg1-1.1".into(),
                architecture: "amd64".into(),
                file: "libgmp10_2%3a6.2.1+dfsg1-1.1_amd64.deb".into(),
                bytes: 562_588,
            }
        );
        assert_eq!((&*all[1].name, &*all[1].version), ("libstdc++6", "12.2.0-14+deb12u1"));
        assert_eq!(all[2].name, "libstdc++6");
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error() {
        for line in [
            "'http://x/a_1_amd64.deb' a_1.deb 7 MD5Sum:0",
            "'http://x/a_1_amd64.deb' a_1_amd64.deb many MD5Sum:0",
            "'http://x/a_1_amd64.deb'",
            "'http://x' ../a_1_amd64.deb 7 MD5Sum:0",
            "'http://x' a%zz_1_amd64.deb 7 MD5Sum:0",
            "'http://x' a%2_1_amd64.deb 7 MD5Sum:0",
        ] {
            assert_eq!(printed_uris(line), Err(line.to_owned()));
        }
    }

    #[test]
    fn reads_the_index() {
        let text = "\
Package: gcc-avr
Version: 1:5.4.0+Atmel3.6.2-3
Installed-Size: 68544
Architecture: amd64
Provides: c-compiler-avr (= 5), gcc-avr-hf
Pre-Depends: dpkg (>= 1.15)
Depends: libc6 (>= 2.33), libgmp10:any (>= 2:6.2.1+dfsg), a | b [amd64], libstdc++6
Description: GNU C compiler
 Size: 3 is prose
Size: 15399376
SHA256: 1d0723749c4cbd55eb2478795a581dd29783150e3340a72c4aa7606d96109fbd

";
        let all = indexed(text).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].bytes, all[0].unpacked_bytes), (15_399_376, 68_544 << 10));
        assert_eq!(all[0].depends, ["libc6", "libgmp10", "a", "b", "libstdc++6", "dpkg"]);
        assert_eq!(all[0].provides, ["c-compiler-avr", "gcc-avr-hf"]);
        assert_eq!(
            Sha256(all[0].sha256).to_string(),
            "1d0723749c4cbd55eb2478795a581dd29783150e3340a72c4aa7606d96109fbd"
        );
        assert_eq!(
            indexed("Package: x\nVersion: 1\nArchitecture: all\nSize: 3\n").unwrap_err(),
            "SHA256 of x"
        );
    }
}
