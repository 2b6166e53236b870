//! Any bytes as a boot image: no panic; a good one's parts are in it, and with another command line it is good.
#![no_main]

use farmhand_image::android::{BootHeader, CmdlineEdit, classify, edit_cmdline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(classify(bytes).to_string());
    match BootHeader::read(bytes, bytes.len() as u64) {
        Err(error) => drop(error.to_string()),
        Ok(header) => {
            for (_, section) in header.sections() {
                assert!(section.is_empty() || section.offset + u64::from(section.bytes) <= bytes.len() as u64);
            }
            let mut head = bytes.to_vec();
            if edit_cmdline(&mut head, bytes.len() as u64, CmdlineEdit::Replace("a b")).is_ok() {
                let again = BootHeader::read(&head, head.len() as u64).expect("it was good");
                assert_eq!(again, BootHeader { cmdline: b"a b".to_vec(), ..header });
            }
        }
    }
});
