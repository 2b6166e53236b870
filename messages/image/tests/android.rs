//! Boot images: golden bytes, properties, and Debian's own tools on both sides.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod debian;

use std::fs;
use std::io::Cursor;

use debian::{Tools, run};
use farmhand_image::android::{
    BootHeader, BootImageError, BootLayout, BuildError, CmdlineEdit, CmdlineError, HEADER_BYTES_MAX, Part,
    Parts, copy_with_cmdline, write_boot_image,
};
use proptest::prelude::*;

fn build(
    layout: &BootLayout,
    cmdline: &str,
    kernel: &[u8],
    ramdisk: Option<&[u8]>,
    dtb: Option<&[u8]>,
) -> Result<Vec<u8>, BuildError> {
    let (mut kernel, mut ramdisk, mut dtb) =
        (Cursor::new(kernel), ramdisk.map(Cursor::new), dtb.map(Cursor::new));
    let mut image = Vec::new();
    let parts = Parts {
        kernel: &mut kernel,
        ramdisk: ramdisk.as_mut().map(|part| part as _),
        second: None,
        dtb: dtb.as_mut().map(|part| part as _),
    };
    let bytes = write_boot_image(layout, cmdline, parts, &mut image)?;
    assert_eq!(bytes, image.len() as u64);
    Ok(image)
}

fn version(header_version: u32) -> BootLayout {
    BootLayout { header_version, ..BootLayout::default() }
}

#[test]
fn golden_header() {
    let image = build(&version(2), "a=b", b"kernel", Some(b"ram"), Some(b"tree")).unwrap();
    assert_eq!(image.len(), 4 * 2048);
    let mut expected = Vec::from(*b"ANDROID!");
    let words = [6, 0x1000_8000, 3, 0x1100_0000, 0, 0, 0x1000_0100, 2048, 2, 0_u32];
    expected.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    expected.extend([0; 16]);
    expected.extend(b"a=b");
    assert_eq!(&image[..expected.len()], expected);
    assert!(image[expected.len()..576].iter().all(|&byte| byte == 0));
    // sha1(kernel 6 ramdisk 3 0 0 tree 4), the numbers as four bytes.
    let id: String = image[576..608].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(id, GOLDEN_ID);
    assert_eq!(&image[1632..1648], [[0; 12].as_slice(), &1660_u32.to_le_bytes()].concat());
    assert_eq!(&image[1648..1660], [4_u32.to_le_bytes().as_slice(), &0x1110_0000_u64.to_le_bytes()].concat());
    for (page, text) in [(1, b"kernel\0".as_slice()), (2, b"ram\0"), (3, b"tree\0")] {
        assert!(image[page * 2048..].starts_with(text));
    }
}

const GOLDEN_ID: &str = "3c3e27074eeeeecf52cbba0cae1b54dfee044378000000000000000000000000";

#[test]
fn what_does_not_fit_is_said() {
    let said = |layout: &BootLayout, cmdline: &str, ramdisk: Option<&[u8]>, dtb: Option<&[u8]>| {
        build(layout, cmdline, b"kernel", ramdisk, dtb).unwrap_err().to_string()
    };
    let long = "x".repeat(1537);
    let layout = |change: fn(&mut BootLayout)| {
        let mut layout = version(0);
        change(&mut layout);
        layout
    };
    for (layout, cmdline, dtb, text) in [
        (version(0), &long[..], None, "the command line has 1537 bytes, and 1536 fit"),
        (version(0), "a\0b", None, "the command line has a zero byte in it, at byte 1"),
        (version(3), "", None, "header version 3 cannot be built, only 0, 1 and 2"),
        (version(2), "", None, "header version 2 wants a device tree, and none was given"),
        (
            version(1),
            "",
            Some(b"tree".as_slice()),
            "header version 1 has no place for a device tree; it can stand behind the kernel",
        ),
        (
            layout(|it| it.page_bytes = 3000),
            "",
            None,
            "a page of 3000 bytes: it must be a power of two from 2048 to 131072",
        ),
        (layout(|it| it.kernel_bytes_max = Some(5)), "", None, "the kernel has 6 bytes, and 5 fit"),
        (layout(|it| it.ramdisk_bytes_max = Some(2)), "", None, "the ramdisk has 3 bytes, and 2 fit"),
        (layout(|it| it.image_bytes_max = Some(6143)), "", None, "the image has 6144 bytes, and 6143 fit"),
        (
            layout(|it| it.base = 0xffff_ffff),
            "",
            None,
            "the kernel would go to 0xffffffff + 0x8000, which is no address",
        ),
    ] {
        assert_eq!(said(&layout, cmdline, Some(b"ram"), dtb), text);
    }
    assert_eq!(build(&version(0), "", b"", None, None).unwrap_err().to_string(), "the kernel is empty");
    let fits = BootLayout {
        kernel_bytes_max: Some(6),
        ramdisk_bytes_max: Some(3),
        image_bytes_max: Some(6144),
        ..version(0)
    };
    assert!(build(&fits, &long[..1536], b"kernel", Some(b"ram"), None).is_ok());
    assert!(matches!(
        build(&BootLayout { image_bytes_max: Some(1), ..version(0) }, "", b"k", None, None),
        Err(BuildError::TooLarge { part: Part::Image, bytes: 4096, max: 1 })
    ));
}

#[test]
fn a_header_is_read_or_it_is_said_what_is_wrong() {
    let image = build(&version(2), "a", &[1; 3000], Some(b"ram"), Some(b"tree")).unwrap();
    let read = |image: &[u8]| BootHeader::read(image, image.len() as u64);
    let with = |at: usize, word: u32| {
        let mut image = image.clone();
        image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        read(&image).unwrap_err().to_string()
    };
    assert_eq!(read(b"MZ").unwrap_err(), BootImageError::NotOne);
    assert_eq!(read(b"").unwrap_err(), BootImageError::NotOne);
    assert_eq!(
        with(40, 5),
        "header version 5 is not known, versions 0 to 4 are (older images with a table of device trees have its length there)"
    );
    assert_eq!(with(36, 0), "a page of 0 bytes: it must be a power of two from 2048 to 131072");
    assert_eq!(with(8, 0), "its kernel is empty");
    assert_eq!(
        with(1632, 1),
        "its recovery DTBO is said to be at byte 0, and what comes before it ends at 8192"
    );
    assert_eq!(
        with(8, u32::MAX),
        "it is cut: its device tree ends at byte 4294971396, and the file has 10240; 4294961156 bytes are missing"
    );
    let head = &image[..HEADER_BYTES_MAX];
    assert_eq!(
        BootHeader::read(head, 8195).unwrap_err().to_string(),
        "it is cut: its device tree ends at byte 8196, and the file has 8195; 1 bytes are missing"
    );
    assert!(BootHeader::read(head, 8196).is_ok(), "its last page need not be full");
    // No cut is a good image, and no cut panics.
    for cut in 0..8196 {
        assert!(read(&image[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn versions_3_and_4_are_read() {
    for version in [3_u32, 4] {
        let mut image = vec![0; 3 * 4096 + 16];
        image[..8].copy_from_slice(b"ANDROID!");
        for (at, word) in [(8, 5), (12, 7), (20, 1580), (40, version), (1580, 16)] {
            image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        image[44..49].copy_from_slice(b"quiet");
        let header = BootHeader::read(&image, image.len() as u64).unwrap();
        assert_eq!((header.version, &header.cmdline[..]), (version, b"quiet".as_slice()));
        assert_eq!((header.kernel.offset, header.ramdisk.offset), (4096, 8192));
        assert_eq!(u32::from(!header.signature.is_empty()), version - 3);
        assert!(matches!(
            copy_with_cmdline(&mut &image[..], image.len() as u64, CmdlineEdit::Append("x"), &mut Vec::new()),
            Err(CmdlineError::Version(_))
        ));
    }
}

/// Version, page, command line, kernel, ramdisk, device tree.
type AllParts = (u32, u32, String, Vec<u8>, Option<Vec<u8>>, Vec<u8>);

fn parts() -> impl Strategy<Value = AllParts> {
    (
        0..3_u32,
        prop_oneof![Just(2048_u32), Just(4096), Just(16384)],
        "[ -~]{0,1536}",
        prop::collection::vec(any::<u8>(), 1..9000),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..5000)),
        prop::collection::vec(any::<u8>(), 1..5000),
    )
}

proptest! {
    #[test]
    fn what_is_built_is_read((version, page_bytes, cmdline, kernel, ramdisk, dtb) in parts()) {
        let layout = BootLayout { header_version: version, page_bytes, ..BootLayout::default() };
        let dtb = (version == 2).then_some(&dtb[..]);
        let image = build(&layout, &cmdline, &kernel, ramdisk.as_deref(), dtb).unwrap();
        let header = BootHeader::read(&image[..HEADER_BYTES_MAX], image.len() as u64).unwrap();
        prop_assert_eq!(header.cmdline, cmdline.as_bytes());
        let there = |section: farmhand_image::android::Section| {
            let offset = usize::try_from(section.offset).unwrap();
            &image[offset..offset + section.bytes as usize]
        };
        prop_assert_eq!(there(header.kernel), &kernel[..]);
        prop_assert_eq!(there(header.ramdisk), ramdisk.as_deref().unwrap_or_default());
        prop_assert_eq!(there(header.dtb), dtb.unwrap_or_default());
    }

    #[test]
    fn a_changed_command_line_is_as_if_it_was_built_so(
        (version, page_bytes, cmdline, kernel, ramdisk, dtb) in parts(), more in "[ -~]{0,600}",
    ) {
        let layout = BootLayout { header_version: version, page_bytes, ..BootLayout::default() };
        let dtb = (version == 2).then_some(&dtb[..]);
        let of = |cmdline: &str| build(&layout, cmdline, &kernel, ramdisk.as_deref(), dtb);
        let image = of(&cmdline).unwrap();
        let changed = |edit| {
            let mut changed = Vec::new();
            copy_with_cmdline(&mut &image[..], image.len() as u64, edit, &mut changed).map(|_| changed)
        };
        prop_assert_eq!(changed(CmdlineEdit::Replace(&more)).unwrap(), of(&more).unwrap());
        let blank = if cmdline.is_empty() || more.is_empty() { "" } else { " " };
        let both = format!("{cmdline}{blank}{more}");
        match changed(CmdlineEdit::Append(&more)) {
            Ok(changed) => prop_assert_eq!(changed, of(&both).unwrap()),
            Err(error) => {
                prop_assert!(both.len() > 1536);
                prop_assert!(matches!(error, CmdlineError::TooLong(bytes) if bytes == both.len()));
            }
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), file in any::<u32>()) {
        let _any = BootHeader::read(&bytes, file.into());
        let magic = bytes.len().min(8);
        bytes[..magic].copy_from_slice(&b"ANDROID!"[..magic]);
        for version in 0..5 {
            if let Some(field) = bytes.get_mut(40) {
                *field = version;
            }
            let _any = BootHeader::read(&bytes, file.into());
        }
    }
}

/// Byte for byte what AOSP's tool makes, and its other tool reads ours.
#[test]
fn as_mkbootimg_makes_it() {
    let Some(tools) = Tools::get(&["mkbootimg"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kernel: Vec<u8> = (0..70_001_u32).map(|n| (n * 7 % 251) as u8).collect();
    let ramdisk: Vec<u8> = (0..4096_u32).map(|n| (n % 13) as u8).collect();
    let dtb = vec![0xd0; 999];
    for (name, bytes) in [("kernel", &kernel), ("ramdisk", &ramdisk), ("dtb", &dtb)] {
        fs::write(path(name), bytes).unwrap();
    }
    let long = "console=ttyMSM0,115200n8 ".repeat(40);
    let mut compared = 0;
    for version in 0..3 {
        for page in [2048, 4096] {
            for with_ramdisk in [true, false] {
                for cmdline in ["", "quiet", &long] {
                    let layout = BootLayout {
                        header_version: version,
                        page_bytes: page,
                        base: 0x8000_0000,
                        tags_offset: 0x01e0_0000,
                        ..BootLayout::default()
                    };
                    let mut make = tools.command("mkbootimg");
                    make.arg("--kernel").arg(path("kernel")).arg("-o").arg(path("theirs"));
                    make.args(["--base", "0x80000000", "--tags_offset", "0x01e00000"]);
                    make.args(["--dtb_offset", "0x01100000", "--cmdline", cmdline]);
                    make.args(["--pagesize", &page.to_string(), "--header_version", &version.to_string()]);
                    if with_ramdisk {
                        make.arg("--ramdisk").arg(path("ramdisk"));
                    }
                    let dtb = (version == 2).then_some(&dtb[..]);
                    if dtb.is_some() {
                        make.arg("--dtb").arg(path("dtb"));
                    }
                    run(&mut make);
                    let ours =
                        build(&layout, cmdline, &kernel, with_ramdisk.then_some(&ramdisk[..]), dtb).unwrap();
                    assert!(ours == fs::read(path("theirs")).unwrap(), "{version} {page} {cmdline:?}");
                    fs::write(path("ours"), &ours).unwrap();
                    let out = path("out");
                    let said = run(tools
                        .command("unpack_bootimg")
                        .arg("--boot_img")
                        .arg(path("ours"))
                        .arg("--out")
                        .arg(&out));
                    assert!(said.contains(&format!("boot image header version: {version}")), "{said}");
                    assert!(fs::read(out.join("kernel")).unwrap() == kernel);
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 36);
}
