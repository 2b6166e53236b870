//! What several tests of the store share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{fs, path::Path};

use farmhand_store::{Durability, Put};

pub fn put(kind: u16, key: &str, body: &str, durability: Durability) -> Put {
    Put {
        kind,
        version: 1,
        key: key.as_bytes().to_vec(),
        body: body.as_bytes().to_vec(),
        incarnation: 1,
        durability,
    }
}

/// A folder and all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The same numbers in every run (xorshift64*, Vigna 2016).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}
