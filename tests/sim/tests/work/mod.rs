//! What people do with fastboot: the work that Debian's client and our own host are compared by.

use std::fs;
use std::path::Path;

use farmhand_sim::fastboot::PhoneOptions;
use sha2::{Digest, Sha256};

/// The phone that it is done to: its memory is small, so that images are split.
pub(crate) fn phone() -> PhoneOptions {
    PhoneOptions { max_download: 1 << 20, ..PhoneOptions::default() }
}

/// What people do with it, and whether it says that it went well. (An unknown variable is none of its failures.)
pub(crate) const WORK: [(&str, bool); 26] = [
    ("getvar product", true),
    ("getvar nothing", true),
    ("getvar all", true),
    ("flash misc small.img", true),
    ("flash boot boot.img", true),
    ("flash userdata large.img", true),
    ("-S 300K flash userdata large.img", true),
    ("flash nothing small.img", false),
    ("erase misc", true),
    ("erase boot", true),
    ("set_active b", true),
    ("set_active c", false),
    ("oem device-info", true),
    ("oem nothing", false),
    ("stage small.img", true),
    ("get_staged staged.img", true),
    ("flashing get_unlock_ability", true),
    ("flashing lock", true),
    ("erase misc", false),
    ("boot boot.img", false),
    ("flashing unlock", true),
    ("reboot-bootloader", true),
    ("boot boot.img", true),
    ("reboot fastboot", true),
    ("flash system small.img", true),
    ("reboot", true),
];

/// The files that are named in it, into a folder.
pub(crate) fn write_files(folder: &Path) {
    fs::write(folder.join("small.img"), &bytes(20)[..50_001]).unwrap();
    fs::write(folder.join("large.img"), bytes(1000)).unwrap();
    let mut image = vec![0; 2048];
    image[..8].copy_from_slice(b"ANDROID!");
    image[8..12].copy_from_slice(&4096_u32.to_le_bytes());
    image[36..40].copy_from_slice(&2048_u32.to_le_bytes());
    image.extend(&bytes(1));
    fs::write(folder.join("boot.img"), image).unwrap();
}

/// Bytes that do not repeat (a linear congruence, Numerical Recipes), with blocks of zeros and of one word among them.
fn bytes(blocks: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut bytes = Vec::new();
    for block in 0..blocks {
        match block % 5 {
            1 => bytes.extend([0; 4096]),
            3 => bytes.extend([1, 2, 3, 4].repeat(1024)),
            _ => bytes.extend((0..4096).map(|_| noise())),
        }
    }
    bytes
}

/// As people write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
