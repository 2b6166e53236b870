//! A guest's whole file system: udev, busybox, the kernel's modules for USB and serial ports, and the programs under
//! test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use farmhand_guest::{Cpio, Modules};

use super::libraries::libraries;
use super::parts::{MissingParts, Parts, entries, name};
use crate::binaries::binary;

/// What the guest's hardware, and the devices that are plugged into it, need.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_console", "xhci_pci", "cdc_acm", "ftdi_sio"];
/// Rules that name the nodes of USB devices and of serial ports.
const RULES: [&str; 4] =
    ["50-udev-default.rules", "60-serial.rules", "75-probe_mtd.rules", "99-systemd.rules"];
/// Accounts and groups that udev's rules name.
const GROUPS: [&str; 15] = [
    "root", "tty", "disk", "kmem", "lp", "dialout", "cdrom", "tape", "audio", "video", "input", "kvm",
    "render", "sgx", "plugdev",
];
const INIT: &str = include_str!("init.sh");

/// Makes it: an archive that the kernel unpacks. `programs` of this machine's are in it, besides our own.
pub(crate) fn initrd(parts: &Parts, work: &Path, programs: &[&Path]) -> Result<Vec<u8>, MissingParts> {
    let mut cpio = Cpio::default();
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp", "/home"] {
        cpio.folder(folder);
    }
    cpio.device("/dev/console", 5, 1);
    cpio.device("/dev/null", 1, 3);
    cpio.file("/init", INIT.as_bytes());
    cpio.file("/bin/busybox", &read(&parts.find("bin/busybox")?)?);

    let udevadm = parts.find("bin/udevadm")?;
    cpio.file("/bin/udevadm", &read(&udevadm)?);
    cpio.link("/lib/systemd/systemd-udevd", "/bin/udevadm");
    let rules = parts.find("lib/udev/rules.d")?;
    for rule in RULES.iter().map(|rule| rules.join(rule)).filter(|rule| rule.exists()) {
        cpio.file(&format!("/lib/udev/rules.d/{}", name(&rule)), &read(&rule)?);
    }
    // Helpers of rules, such as the one that names serial ports.
    for helper in entries(rules.parent().expect("rules lie in a folder")).iter().filter(|path| path.is_file())
    {
        cpio.file(&format!("/lib/udev/{}", name(helper)), &read(helper)?);
    }
    let groups: String =
        (0_u32..).zip(GROUPS).map(|(number, group)| format!("{group}:x:{number}:\n")).collect();
    cpio.file("/etc/group", groups.as_bytes());
    cpio.file("/etc/passwd", b"root:x:0:0:root:/home:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n");

    let modules = Modules::of(&parts.find(&format!("lib/modules/{}", parts.version))?);
    modules.put(&MODULES, &mut cpio)?;

    let fastboot = parts.find("bin/fastboot")?;
    cpio.file("/bin/fastboot", &read(&fastboot)?);
    let mut needed = libraries(&[udevadm, fastboot], Some(&parts.library_path()))?;
    let mut own = Vec::new();
    let ours = ["farmhand", "farmhandd"].map(binary);
    for program in ours.iter().map(PathBuf::as_path).chain(programs.iter().copied()) {
        own.push(stripped(program, work)?);
        cpio.file(&format!("/bin/{}", name(program)), &read(own.last().expect("it was just put there"))?);
    }
    needed.extend(libraries(&own, None)?);
    put_libraries(&mut cpio, &needed)?;
    Ok(cpio.finish())
}

fn put_libraries(cpio: &mut Cpio, needed: &BTreeMap<String, PathBuf>) -> Result<(), MissingParts> {
    for (name, path) in needed {
        // The loader is where programs name it; all others where it looks.
        let place =
            if name.starts_with('/') { name.clone() } else { format!("/lib/x86_64-linux-gnu/{name}") };
        cpio.file(&place, &read(path)?);
    }
    Ok(())
}

/// Without what only a debugger reads, which is most of it.
fn stripped(program: &Path, work: &Path) -> Result<PathBuf, MissingParts> {
    let into = work.join(name(program));
    let ended = Command::new("strip").arg("--strip-debug").arg("-o").arg(&into).arg(program).output();
    match ended {
        Ok(ended) if ended.status.success() => Ok(into),
        // A guest has room for it.
        _ => Ok(program.to_owned()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MissingParts> {
    fs::read(path).map_err(|source| MissingParts::Read { path: path.to_owned(), source })
}
