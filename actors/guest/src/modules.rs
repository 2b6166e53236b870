//! Which modules of a kernel package a guest needs, in the order in which they load.
//!
//! The package has no `modules.dep` (its installation would make one), but each module says what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Cpio, GuestError};

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Modules {
    /// Those below `lib/modules/VERSION`.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![folder.join("kernel")];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if let Some(name) = name_of(&path) {
                    files.insert(name, path);
                }
            }
        }
        let built_in = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let built_in = built_in.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Self { files, built_in }
    }

    /// Puts these and what they need below `/modules`, with the order in which they load in `/modules/order`.
    ///
    /// # Errors
    /// As [`Modules::closure`].
    pub fn put(&self, wanted: &[&str], cpio: &mut Cpio) -> Result<(), GuestError> {
        let mut order = String::new();
        for (module, content) in self.closure(wanted)? {
            cpio.file(&format!("/modules/{module}.ko"), &content);
            order.push_str(&module);
            order.push('\n');
        }
        cpio.file("/modules/order", order.as_bytes());
        Ok(())
    }

    /// These and what they need, each after what it needs: name and content.
    ///
    /// # Errors
    /// Where the kernel has one of them not, or its file cannot be read.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>, GuestError> {
        let mut loaded = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            self.load(&name.replace('-', "_"), &mut seen, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn load(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<(), GuestError> {
        if self.built_in.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.files.get(name).ok_or_else(|| GuestError::Module(name.to_owned()))?;
        let content = read(path)?;
        for needed in depends(&content) {
            self.load(&needed, seen, loaded)?;
        }
        loaded.push((name.to_owned(), content));
        Ok(())
    }
}

/// As the kernel calls it: `xhci_pci` for `.../xhci-pci.ko.xz`.
fn name_of(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once('.')?;
    rest.starts_with("ko").then(|| name.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>, GuestError> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let unpacked = Command::new("xz").arg("-dc").arg(path).output().map_err(GuestError::file(path))?;
        return Ok(unpacked.stdout);
    }
    fs::read(path).map_err(GuestError::file(path))
}

/// What it says of itself: `depends=usbcore,xhci-hcd`, between zeros.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let list = module[at + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel/drivers");
        fs::create_dir_all(&kernel).unwrap();
        for (name, depends) in
            [("usb-common", ""), ("usbcore", "usb-common,crc"), ("cdc-acm", "usbcore"), ("b", "usbcore")]
        {
            fs::write(kernel.join(format!("{name}.ko")), format!("\x7fELF\0depends={depends}\0x")).unwrap();
        }
        fs::write(folder.path().join("modules.builtin"), "kernel/lib/crc.ko\n").unwrap();
        let modules = Modules::of(folder.path());
        let names = |wanted: &[&str]| {
            let all = modules.closure(wanted).unwrap();
            all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["cdc-acm", "b", "usbcore"]), ["usb_common", "usbcore", "cdc_acm", "b"]);
        assert!(matches!(modules.closure(&["nope"]), Err(GuestError::Module(name)) if name == "nope"));
    }
}
