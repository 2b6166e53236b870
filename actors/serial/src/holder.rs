//! Who has a port open: other processes' descriptors, as far as the system shows them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Another process that has this device file open, such as `minicom (pid 123)`. Ours does not count. Blocking; only
/// processes of the same user are seen, unless we are root.
pub(crate) fn holder(path: &Path) -> Option<String> {
    let device = fs::metadata(path).ok().filter(|meta| meta.file_type().is_char_device())?.rdev();
    let me = std::process::id();
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != me).find(|pid| has_open(*pid, device)).map(named)
}

fn has_open(pid: u32, device: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let link = descriptor.path();
        // What is not beneath /dev is not looked at: a stat of somebody's network file may hang.
        let is_device = fs::read_link(&link).is_ok_and(|target| target.starts_with("/dev/"));
        is_device
            && fs::metadata(&link)
                .is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == device)
    })
}

fn named(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (pid {pid})", name.trim_end()),
        Err(_) => format!("pid {pid}"),
    }
}
