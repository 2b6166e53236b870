//! bzip2, undone. It is old and rare enough that no library that we could take is kept: this reads what `bzip2`
//! and its parallel cousins write, one block (900 kB at most) in memory at a time, and checks every checksum.

use std::io::{self, Read};

const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
/// Symbols between two choices of a code.
const GROUP: usize = 50;
/// The longest code that bzip2 itself writes is of 17 bits, and the format has room for 20.
const CODE_BITS_MAX: u32 = 20;
const SELECTORS_MAX: usize = 18_002;
const READ_BYTES: usize = 32 << 10;

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut sum = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bits, the highest first.
struct Bits<R> {
    inner: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    held: u64,
    count: u32,
}

impl<R: Read> Bits<R> {
    /// The next byte; none at the end.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        while self.at == self.filled {
            self.filled = match self.inner.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.at = 0;
        }
        self.at += 1;
        Ok(Some(self.buffer[self.at - 1]))
    }

    /// Up to 48 bits.
    fn take(&mut self, count: u32) -> io::Result<u64> {
        while self.count < count {
            let byte = self.byte()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.held = (self.held << 8) | u64::from(byte);
            self.count += 8;
        }
        self.count -= count;
        Ok((self.held >> self.count) & ((1 << count) - 1))
    }

    /// A small number.
    fn small(&mut self, count: u32) -> io::Result<usize> {
        // Of 24 bits at most: it fits.
        Ok(self.take(count)? as usize)
    }

    fn flag(&mut self) -> io::Result<bool> {
        Ok(self.take(1)? == 1)
    }

    /// Goes to the next whole byte.
    fn align(&mut self) {
        self.count -= self.count % 8;
    }
}

/// A canonical Huffman code.
struct Code {
    /// Of each length: the first code of it, how many there are, and where its symbols begin.
    lengths: [(u64, u64, usize); CODE_BITS_MAX as usize + 1],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u32]) -> Self {
        let mut code = Self { lengths: Default::default(), symbols: Vec::with_capacity(lengths.len()) };
        let mut first = 0;
        for length in 1..=CODE_BITS_MAX {
            let before = code.symbols.len();
            let of_length = lengths.iter().zip(0..).filter(|(of, _)| **of == length);
            code.symbols.extend(of_length.map(|(_, symbol): (_, u16)| symbol));
            let count = (code.symbols.len() - before) as u64;
            code.lengths[length as usize] = (first, count, before);
            first = (first + count) << 1;
        }
        code
    }

    fn read<R: Read>(&self, bits: &mut Bits<R>) -> io::Result<usize> {
        let mut code = 0;
        for (first, count, at) in &self.lengths[1..] {
            code = (code << 1) | bits.take(1)?;
            if let Some(offset) = code.checked_sub(*first).filter(|offset| offset < count) {
                return Ok(usize::from(self.symbols[at + offset as usize]));
            }
        }
        Err(bad("a code that none of the block's is"))
    }
}

/// Reads what was compressed.
pub(crate) struct Bz2<R> {
    bits: Bits<R>,
    /// The most bytes of a block, by its stream's header; none between streams.
    block_max: Option<usize>,
    /// The block's bytes in their low eight bits, and where the next one is above them.
    chain: Vec<u32>,
    at: u32,
    left: usize,
    /// Bytes of a kind in a row, and how many more of it come.
    last: u8,
    row: u8,
    more: u8,
    expected: u32,
    sum: u32,
    stream_sum: u32,
    streams: u64,
}

impl<R: Read> Bz2<R> {
    pub(crate) fn new(inner: R) -> Self {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self {
            bits: Bits { inner, buffer, at: 0, filled: 0, held: 0, count: 0 },
            block_max: None,
            chain: Vec::new(),
            at: 0,
            left: 0,
            last: 0,
            row: 0,
            more: 0,
            expected: 0,
            sum: u32::MAX,
            stream_sum: 0,
            streams: 0,
        }
    }

    /// Goes to the next block; false at the end of all.
    fn next_block(&mut self) -> io::Result<bool> {
        loop {
            let Some(block_max) = self.block_max else {
                if !self.next_stream()? {
                    return Ok(false);
                }
                continue;
            };
            match self.bits.take(48)? {
                BLOCK => {
                    self.block(block_max)?;
                    return Ok(true);
                }
                END => {
                    if self.bits.take(32)? != u64::from(self.stream_sum) {
                        return Err(bad("the checksum of a stream is wrong"));
                    }
                    self.bits.align();
                    self.block_max = None;
                }
                _ => return Err(bad("neither a block nor the end")),
            }
        }
    }

    fn next_stream(&mut self) -> io::Result<bool> {
        if self.bits.count == 0 {
            match self.bits.byte()? {
                None if self.streams > 0 => return Ok(false),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(byte) => (self.bits.held, self.bits.count) = (u64::from(byte), 8),
            }
        }
        if self.bits.take(24)? != 0x0042_5a68 {
            return Err(bad("no bzip2 stream"));
        }
        let level = self.bits.small(8)?.wrapping_sub(usize::from(b'0'));
        if !(1..=9).contains(&level) {
            return Err(bad("a block size that bzip2 does not have"));
        }
        (self.block_max, self.stream_sum) = (Some(level * 100_000), 0);
        self.streams += 1;
        Ok(true)
    }

    fn block(&mut self, block_max: usize) -> io::Result<()> {
        let bits = &mut self.bits;
        // Of 32 bits: it fits.
        self.expected = bits.take(32)? as u32;
        if bits.flag()? {
            return Err(bad("a randomised block, which nothing has written since 1996"));
        }
        let first = bits.small(24)?;
        let mut front = symbols(bits)?;
        let codes = bits.small(3)?;
        let chosen = bits.small(15)?;
        if front.is_empty() || !(2..=6).contains(&codes) || chosen == 0 {
            return Err(bad("a block without symbols or codes"));
        }
        let selectors = selectors(bits, codes, chosen)?;
        let last_symbol = front.len() + 1;
        let codes: Vec<_> = (0..codes).map(|_| lengths(bits, last_symbol + 1)).collect::<io::Result<_>>()?;

        self.chain.clear();
        let mut counts = [0_u32; 256];
        let (mut run, mut weight) = (0_usize, 1_usize);
        'block: for selector in selectors {
            for _ in 0..GROUP {
                let symbol = codes[selector].read(bits)?;
                if symbol < 2 {
                    run += weight << symbol;
                    weight <<= 1;
                    // Else the weight could grow beyond its type.
                    if run > block_max {
                        return Err(bad("a block longer than its stream allows"));
                    }
                    continue;
                }
                if run > 0 {
                    put(&mut self.chain, &mut counts, front[0], run, block_max)?;
                    (run, weight) = (0, 1);
                }
                if symbol == last_symbol {
                    break 'block;
                }
                front[..symbol].rotate_right(1);
                put(&mut self.chain, &mut counts, front[0], 1, block_max)?;
            }
        }
        // Where the selectors end before the block's own end, the checksum is wrong.
        let mut starts = [0; 256];
        let mut sum = 0;
        for (start, count) in starts.iter_mut().zip(counts) {
            *start = sum;
            sum += count;
        }
        for at in 0..self.chain.len() {
            let byte = (self.chain[at] & 0xff) as usize;
            self.chain[starts[byte] as usize] |= (at as u32) << 8;
            starts[byte] += 1;
        }
        let start = self.chain.get(first).ok_or_else(|| bad("a block that begins outside itself"))?;
        self.at = start >> 8;
        (self.left, self.row, self.more, self.sum) = (self.chain.len(), 0, 0, u32::MAX);
        Ok(())
    }

    /// The next byte of the block; none at its end.
    fn byte(&mut self) -> Option<u8> {
        loop {
            if self.more > 0 {
                self.more -= 1;
                return Some(self.last);
            }
            self.left = self.left.checked_sub(1)?;
            let entry = self.chain[self.at as usize];
            self.at = entry >> 8;
            let byte = (entry & 0xff) as u8;
            if self.row == 4 {
                // After four of a kind stands how many more there are.
                (self.row, self.more) = (0, byte);
                continue;
            }
            self.row = if self.row > 0 && byte == self.last { self.row + 1 } else { 1 };
            self.last = byte;
            return Some(byte);
        }
    }
}

/// Adds a byte `run` times.
fn put(chain: &mut Vec<u32>, counts: &mut [u32; 256], byte: u8, run: usize, max: usize) -> io::Result<()> {
    if chain.len() + run > max {
        return Err(bad("a block longer than its stream allows"));
    }
    chain.resize(chain.len() + run, u32::from(byte));
    // 900,000 at most: it fits.
    counts[usize::from(byte)] += run as u32;
    Ok(())
}

/// The bytes that a block has, in order.
fn symbols<R: Read>(bits: &mut Bits<R>) -> io::Result<Vec<u8>> {
    let rows = bits.take(16)?;
    let mut symbols = Vec::new();
    for row in (0..16_u8).filter(|row| rows >> (15 - row) & 1 == 1) {
        let used = bits.take(16)?;
        symbols.extend((0..16_u8).filter(|at| used >> (15 - at) & 1 == 1).map(|at| row * 16 + at));
    }
    Ok(symbols)
}

/// Which code each group of symbols is in.
fn selectors<R: Read>(bits: &mut Bits<R>, codes: usize, count: usize) -> io::Result<Vec<usize>> {
    let mut front: Vec<_> = (0..codes).collect();
    let mut selectors = Vec::with_capacity(count.min(SELECTORS_MAX));
    for _ in 0..count {
        let mut at = 0;
        while bits.flag()? {
            at += 1;
            if at == codes {
                return Err(bad("a code that the block does not have"));
            }
        }
        front[..=at].rotate_right(1);
        // Some compressors write more than can be used.
        if selectors.len() < SELECTORS_MAX {
            selectors.push(front[0]);
        }
    }
    Ok(selectors)
}

fn lengths<R: Read>(bits: &mut Bits<R>, symbols: usize) -> io::Result<Code> {
    let mut length = bits.take(5)? as u32;
    let mut lengths = Vec::with_capacity(symbols);
    for _ in 0..symbols {
        loop {
            if !(1..=CODE_BITS_MAX).contains(&length) {
                return Err(bad("a code longer than the format has"));
            }
            if !bits.flag()? {
                break;
            }
            length = if bits.flag()? { length - 1 } else { length + 1 };
        }
        lengths.push(length);
    }
    Ok(Code::new(&lengths))
}

impl<R: Read> Read for Bz2<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let mut count = 0;
            while count < buffer.len() {
                let Some(byte) = self.byte() else { break };
                self.sum = (self.sum << 8) ^ CRC[(self.sum >> 24) as usize ^ usize::from(byte)];
                buffer[count] = byte;
                count += 1;
            }
            if count > 0 {
                return Ok(count);
            }
            if !self.chain.is_empty() {
                if !self.sum != self.expected {
                    return Err(bad("the checksum of a block is wrong"));
                }
                self.stream_sum = self.stream_sum.rotate_left(1) ^ self.expected;
                self.chain.clear();
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
    }
}
