//! Zips as they are told to be, however wrong.

use std::io::Write;

/// An entry, and the lies about it.
#[derive(Clone)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub content: &'a [u8],
    pub mode: u32,
    pub unix: bool,
    pub stored: bool,
    pub flags: u16,
    pub local_name: Option<&'a str>,
    pub method: Option<u16>,
    pub size: Option<u32>,
    pub crc: Option<u32>,
    pub at: Option<u32>,
}

impl<'a> Entry<'a> {
    pub fn file(name: &'a str, content: &'a [u8]) -> Self {
        Self {
            name,
            content,
            mode: 0o100_644,
            unix: true,
            stored: false,
            flags: 0,
            local_name: None,
            method: None,
            size: None,
            crc: None,
            at: None,
        }
    }
}

pub fn zip(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.at.unwrap_or(u32::try_from(bytes.len()).unwrap());
        let packed = if entry.stored { entry.content.to_vec() } else { deflate(entry.content) };
        let method = entry.method.unwrap_or(if entry.stored { 0 } else { 8 });
        let crc = entry.crc.unwrap_or_else(|| crc32fast::hash(entry.content));
        let size = entry.size.unwrap_or(u32::try_from(entry.content.len()).unwrap());
        let mut common = Vec::new();
        common.extend(entry.flags.to_le_bytes());
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc.to_le_bytes());
        common.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        common.extend(size.to_le_bytes());
        let name = |name: &str| u16::try_from(name.len()).unwrap().to_le_bytes();
        let local_name = entry.local_name.unwrap_or(entry.name);
        bytes.extend(b"PK\x03\x04\x14\0");
        bytes.extend(&common);
        bytes.extend(name(local_name));
        bytes.extend([0; 2]);
        bytes.extend(local_name.as_bytes());
        bytes.extend(packed);
        list.extend(b"PK\x01\x02");
        list.extend([20, if entry.unix { 3 } else { 0 }, 20, 0]);
        list.extend(&common);
        list.extend(name(entry.name));
        list.extend([0; 8]);
        list.extend((entry.mode << 16).to_le_bytes());
        list.extend(at.to_le_bytes());
        list.extend(entry.name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let (start, length) = (bytes.len(), list.len());
    bytes.extend(list);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(start).unwrap().to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(bytes).unwrap();
    deflate.finish().unwrap()
}
