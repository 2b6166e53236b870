//! A program for an emulated RISC-V machine, made here: no compiler stands between a test and what it says.

use std::fs;
use std::path::{Path, PathBuf};

/// Where QEMU's `virt` machine has its memory, its 16550 UART, and what ends it (QEMU, "virt" Generic Virtual Platform).
const MEMORY: u32 = 0x8000_0000;
const UART: u32 = 0x1000_0000;
const TEST_DEVICE: u32 = 0x0010_0000;
/// What the test device takes: a reset, and the end.
const RESET: u32 = 0x7777;
const OFF: u32 = 0x5555;
/// "Wait for Interrupt" (The RISC-V Instruction Set Manual, volume II).
const WFI: u32 = 0x1050_0073;
/// Registers.
const ZERO: u32 = 0;
const T0: u32 = 5;
const T1: u32 = 6;
const T2: u32 = 7;
const T3: u32 = 28;

/// Says `greeting`, then gives back what it is given; at `r` it resets the machine, at `o` it turns it off. An ELF in this
/// folder, of 32 bits: the instructions are those of RV32I and of RV64I alike.
#[must_use]
pub fn echo_program(folder: &Path, greeting: &str) -> PathBuf {
    let mut code = vec![lui(T0, UART)];
    for byte in greeting.bytes() {
        code.extend([addi(T1, ZERO, u32::from(byte)), sb(T1, T0)]);
    }
    let wait = code.len();
    // The line status register, whose first bit says that there is something to read (16550 data sheet).
    code.extend([lbu(T1, T0, 5), andi(T1, T1, 1)]);
    code.push(beq(T1, ZERO, back(code.len(), wait)));
    code.push(lbu(T2, T0, 0));
    for (key, word) in [(b'r', RESET), (b'o', OFF)] {
        // Past what follows, where it is another key.
        code.extend([addi(T3, ZERO, u32::from(key)), bne(T2, T3, 5 * 4)]);
        code.extend([
            lui(T1, TEST_DEVICE),
            lui(T3, word & 0xffff_f000),
            addi(T3, T3, word & 0xfff),
            sw(T3, T1),
        ]);
    }
    code.push(sb(T2, T0));
    code.push(beq(ZERO, ZERO, back(code.len(), wait)));
    let path = folder.join("echo.elf");
    fs::write(&path, elf(&code)).unwrap();
    path
}

/// Says `greeting`, then waits for an interrupt, of which there is none: it takes no processor's time. An ELF in this folder, as
/// [`echo_program`].
#[must_use]
pub fn idle_program(folder: &Path, greeting: &str) -> PathBuf {
    let mut code = vec![lui(T0, UART)];
    for byte in greeting.bytes() {
        code.extend([addi(T1, ZERO, u32::from(byte)), sb(T1, T0)]);
    }
    code.extend([WFI, beq(ZERO, ZERO, back(1, 0))]);
    let path = folder.join("idle.elf");
    fs::write(&path, elf(&code)).unwrap();
    path
}

/// Says the letter `t`, over and over. An ELF in this folder, as [`echo_program`].
#[must_use]
pub fn ticking_program(folder: &Path) -> PathBuf {
    /// Rounds between two letters: about a thousandth of a second.
    const ROUNDS: u32 = 1 << 16;
    let code = [
        lui(T0, UART),
        addi(T1, ZERO, u32::from(b't')),
        sb(T1, T0),
        lui(T2, ROUNDS),
        addi(T2, T2, (-1_i32).cast_unsigned() & 0xfff),
        bne(T2, ZERO, back(5, 4)),
        beq(ZERO, ZERO, back(6, 2)),
    ];
    let path = folder.join("ticks.elf");
    fs::write(&path, elf(&code)).unwrap();
    path
}

/// Answers each key with the next letter, from `a` on. An ELF in this folder, as [`echo_program`].
#[must_use]
pub fn letter_program(folder: &Path) -> PathBuf {
    let mut code = vec![lui(T0, UART), addi(T3, ZERO, u32::from(b'a'))];
    let wait = code.len();
    code.extend([lbu(T1, T0, 5), andi(T1, T1, 1)]);
    code.push(beq(T1, ZERO, back(code.len(), wait)));
    code.extend([lbu(T2, T0, 0), sb(T3, T0), addi(T3, T3, 1)]);
    code.push(beq(ZERO, ZERO, back(code.len(), wait)));
    let path = folder.join("letters.elf");
    fs::write(&path, elf(&code)).unwrap();
    path
}

fn back(from: usize, to: usize) -> u32 {
    let bytes = 4 * i32::try_from(to).unwrap() - 4 * i32::try_from(from).unwrap();
    bytes.cast_unsigned()
}

// The RISC-V Instruction Set Manual, volume I, "RV32I Base Integer Instruction Set".
fn lui(rd: u32, value: u32) -> u32 {
    value & 0xffff_f000 | rd << 7 | 0x37
}

fn immediate(opcode: u32, funct3: u32, rd: u32, rs: u32, value: u32) -> u32 {
    (value & 0xfff) << 20 | rs << 15 | funct3 << 12 | rd << 7 | opcode
}

fn addi(rd: u32, rs: u32, value: u32) -> u32 {
    immediate(0x13, 0, rd, rs, value)
}

fn andi(rd: u32, rs: u32, value: u32) -> u32 {
    immediate(0x13, 7, rd, rs, value)
}

fn lbu(rd: u32, rs: u32, offset: u32) -> u32 {
    immediate(0x03, 4, rd, rs, offset)
}

fn sb(rs: u32, base: u32) -> u32 {
    rs << 20 | base << 15 | 0x23
}

fn sw(rs: u32, base: u32) -> u32 {
    rs << 20 | base << 15 | 2 << 12 | 0x23
}

fn branch(funct3: u32, a: u32, b: u32, by: u32) -> u32 {
    let bit = |at: u32| by >> at & 1;
    bit(12) << 31
        | (by >> 5 & 0x3f) << 25
        | b << 20
        | a << 15
        | funct3 << 12
        | (by >> 1 & 0xf) << 8
        | bit(11) << 7
        | 0x63
}

fn beq(a: u32, b: u32, by: u32) -> u32 {
    branch(0, a, b, by)
}

fn bne(a: u32, b: u32, by: u32) -> u32 {
    branch(1, a, b, by)
}

/// One segment, which begins with the first instruction (System V ABI, "ELF Header", "Program Header").
fn elf(code: &[u32]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = u32::try_from(bytes.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable for RISC-V.
    for half in [2_u16, 243] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, MEMORY, 52, 0, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    for half in [52_u16, 32, 1, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // Loaded, readable and executable.
    for word in [1, HEADERS, MEMORY, MEMORY, len, len, 5, 4] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(bytes);
    file
}
