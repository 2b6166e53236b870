//! ELF files put together by hand, after the System V ABI.

use farmhand_image::{AvrSpace, ElfContents, ElfError, Ignored, Image};

/// `p_type`, `p_vaddr`, `p_paddr`, bytes in the file, bytes in memory.
struct Header {
    kind: u32,
    vaddr: u32,
    paddr: u32,
    bytes: &'static [u8],
    memory_len: u32,
}

fn load(vaddr: u32, paddr: u32, bytes: &'static [u8]) -> Header {
    Header { kind: 1, vaddr, paddr, bytes, memory_len: u32::try_from(bytes.len()).expect("small") }
}

/// A little-endian ELF32 executable with only program headers.
fn elf32(machine: u16, headers: &[Header]) -> Vec<u8> {
    let count = u32::try_from(headers.len()).expect("few");
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    // e_version, e_entry, e_phoff, e_shoff, e_flags.
    [1, 0, 52, 0, 0u32].iter().for_each(|word| file.extend(word.to_le_bytes()));
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    [52, 32, u16::try_from(count).expect("few"), 40, 0, 0]
        .iter()
        .for_each(|half| file.extend(half.to_le_bytes()));
    let mut offset = 52 + 32 * count;
    for header in headers {
        let len = u32::try_from(header.bytes.len()).expect("small");
        [header.kind, offset, header.vaddr, header.paddr, len, header.memory_len, 5, 1]
            .iter()
            .for_each(|word| file.extend(word.to_le_bytes()));
        offset += len;
    }
    headers.iter().for_each(|header| file.extend(header.bytes));
    file
}

const AVR: u16 = 83;
const ARM: u16 = 40;

/// What avr-gcc makes of a sketch: code, data that the start moves to RAM, no bytes for bss, EEPROM, fuses.
fn sketch() -> Vec<u8> {
    elf32(
        AVR,
        &[
            load(0, 0, &[0x0c, 0x94, 0x34, 0x00]),
            load(0x80_0100, 4, b"hi\0\0"),
            Header { kind: 1, vaddr: 0x80_0104, paddr: 0x80_0104, bytes: &[], memory_len: 32 },
            load(0x81_0000, 0x81_0000, &[7]),
            load(0x82_0000, 0x82_0000, &[0xff, 0xde, 0x05]),
            Header { kind: 4, vaddr: 0, paddr: 0x40, bytes: b"note", memory_len: 4 },
        ],
    )
}

#[test]
fn a_sketch_is_what_lies_in_flash() {
    let contents = ElfContents::read(&sketch()).expect("a good file");
    let image = Image::from_chunks([(0, b"\x0c\x94\x34\x00hi\0\0".to_vec())]).expect("one chunk");
    let ignored = vec![
        Ignored { space: AvrSpace::Eeprom, address: 0x81_0000, len: 1 },
        Ignored { space: AvrSpace::Fuses, address: 0x82_0000, len: 3 },
    ];
    assert_eq!(contents, ElfContents { image: image.clone(), machine: AVR, ignored });
    assert_eq!(Image::from_bytes(&sketch()), Ok(image.clone()));
    assert_eq!(image.hash(), Image::from_hex(image.to_hex().as_bytes()).expect("our own hex").hash());
}

#[test]
fn only_avr_has_other_memories() {
    let file = elf32(ARM, &[load(0x2000_0000, 0x0800_0000, &[1, 2])]);
    let contents = ElfContents::read(&file).expect("a good file");
    assert_eq!(contents.image.segments()[0].address(), 0x0800_0000);
    assert!(contents.ignored.is_empty());
}

#[test]
fn it_may_lie_anywhere_in_memory() {
    let padded = [&[0], &sketch()[..]].concat();
    assert_eq!(Image::from_elf(&padded[1..]), Image::from_elf(&sketch()));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(Image::from_elf(b"MZ"), Err(ElfError::NotElf));
    assert!(matches!(
        Image::from_elf(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0"),
        Err(ElfError::Damaged { .. })
    ));
    // The third word of the first program header is p_vaddr, the fifth p_filesz, the second p_offset.
    let patched = |at: usize, word: u32| {
        let mut file = sketch();
        file[52 + at..52 + at + 4].copy_from_slice(&word.to_le_bytes());
        Image::from_elf(&file)
    };
    assert_eq!(patched(16, u32::MAX), Err(ElfError::TooMuch));
    assert_eq!(patched(4, 0x1000), Err(ElfError::CutOff { segment: 0 }));
    let cut = sketch();
    assert_eq!(Image::from_elf(&cut[..52 + 6 * 32 + 2]), Err(ElfError::CutOff { segment: 0 }));
    let clash = elf32(AVR, &[Header { kind: 4, ..load(0, 0, b"x") }, load(0, 0, b"ab"), load(9, 1, b"c")]);
    assert_eq!(Image::from_elf(&clash), Err(ElfError::Overlap { address: 1, first: 1, second: 2 }));
    let far = elf32(ARM, &[load(0, u32::MAX, b"ab")]);
    assert_eq!(Image::from_elf(&far), Err(ElfError::Beyond { segment: 0, address: 0xffff_ffff }));
}

#[test]
fn headers_that_share_bytes_do_not_multiply_them() {
    let share = |bytes: &'static [u8]| {
        let mut file = elf32(ARM, &[load(0, 0, bytes), load(0, 0x100, &[]), load(0, 0x200, &[])]);
        let (first, others) = (52..52 + 32, [52 + 32, 52 + 64]);
        // p_offset and p_filesz of the others become the first's.
        for other in others {
            for at in [4, 16] {
                file.copy_within(first.start + at..first.start + at + 4, other + at);
            }
        }
        Image::from_elf(&file).map(|image| image.len())
    };
    assert_eq!(share(&[9; 64]), Ok(192), "212 bytes hold three times 64");
    assert_eq!(share(&[9; 200]), Err(ElfError::TooMuch), "348 bytes do not hold three times 200");
}
