//! Device profiles: what a model of fastboot device is told by, and how it is booted.
//!
//! A profile is a file of TOML, named by its id: `oneplus-fajita.toml`. They are looked for in this order, and one that is
//! found later takes the place of an earlier one of the same id: built in, the user's folder
//! (`$XDG_CONFIG_HOME/farmhand/profiles`), the project's (`profiles/` beside `farmhand.toml`). A file that is damaged is
//! told, and takes the place of the earlier one too, so that no device is booted by what its owner has replaced; other
//! profiles stay.
//!
//! ```toml
//! title = "Some phone"
//! match = { usb = ["18d1:d00d"] }       # serial, port-path
//! next = { usb = ["1d6b:0104"] }        # what it shows itself as once it runs what was booted
//! [[probe]]
//! getvar = "product"
//! equals = "sdm845"                     # or starts-with, not-equals, exists = true, not-exists = true
//! [boot]
//! header-version = 2                    # page-size, base, kernel-offset, ramdisk-offset, second-offset, tags-offset,
//! kernel = "image.gz"                   # dtb-offset, max-kernel-bytes, max-ramdisk-bytes, max-image-bytes, cmdline
//! ```
//!
//! Keys may be written with `_` for `-`.

mod builtin;
mod probing;
mod read;
mod set;

pub use probing::{AmbiguousError, Next, Probing};
pub use read::read_profile;
pub use set::{Folders, Profiles, Seen, holds};

#[cfg(test)]
mod tests;
