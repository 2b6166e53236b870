//! A file system for a kernel's start: the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive that grows. Folders are made as they are needed.
#[derive(Debug, Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Cpio {
    /// A file that can be run; `path` is absolute.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.within(path);
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// A link; it may lead anywhere.
    pub fn link(&mut self, path: &str, target: &str) {
        self.within(path);
        self.entry(path, LINK, (0, 0), target.as_bytes());
    }

    /// A device node.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.within(path);
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// An empty folder.
    pub fn folder(&mut self, path: &str) {
        self.within(&format!("{path}/"));
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("/TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn within(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').skip(1) {
            if self.folders.insert(path[..at].to_owned()) {
                self.entry(&path[..at], FOLDER, (0, 0), &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("a file of a guest has less than 4 GiB");
        let fields =
            [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_a_kernel_reads() {
        let mut cpio = Cpio::default();
        cpio.file("/a/b", b"xyz");
        let bytes = cpio.finish();
        let text = String::from_utf8_lossy(&bytes);
        let folder = "07070100000001000041ed000000000000000000000001000000000000000000000000000000000000000000000000\
                      0000000200000000a\0";
        assert!(text.starts_with(folder), "{text}");
        let file = &text[112..];
        assert!(file.starts_with("07070100000002000081ed"), "{file}");
        // The content begins at a multiple of four, and so does what follows it.
        assert!(file.contains("a/b\0\0\0xyz\x00070701"), "{file:?}");
        assert!(text.contains("TRAILER!!!\0"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
