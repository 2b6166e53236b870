//! What compilers say, as data: GCC's text, clang's, the assembler's and the linker's. Pure.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing comes of it.
    Error,
    /// Something comes of it.
    Warning,
    /// More on what was said before; alone only where nothing was.
    Note,
}

/// A place in a file, as the compiler names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// As it was said: relative to where the compiler ran.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1, in the compiler's own counting: bytes, unless it was told otherwise.
    pub column: Option<u32>,
}

/// More on a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticNote {
    /// Where.
    #[serde(flatten)]
    pub spot: Spot,
    /// What.
    pub message: String,
}

/// One thing that a compiler said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Where.
    #[serde(flatten)]
    pub spot: Spot,
    /// How bad.
    pub severity: Severity,
    /// What, without the option.
    pub message: String,
    /// What turns it off, or on: `-Wunused-variable`.
    pub option: Option<String>,
    /// What was said to it.
    pub notes: Vec<DiagnosticNote>,
    /// All of it as it was written, without colours.
    pub text: String,
}

/// A part of what was printed. Together they are all of it, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A diagnostic.
    Diagnostic(Box<Diagnostic>),
    /// Anything else, with its newlines.
    Text(String),
}

/// `text` without colours and links: what is between ESC and the end of its sequence (ECMA-48, CSI and OSC).
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {},
            Some(']') => {
                // It ends with BEL, or with ESC and a backslash.
                while let Some(c) = chars.next() {
                    if c == '\x07' {
                        break;
                    }
                    if c == '\x1b' {
                        chars.next();
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    out
}

/// Reads what compilers printed.
#[must_use]
pub fn diagnostics(text: &str) -> Vec<Said> {
    let text = plain(text);
    let mut reader = Reader::default();
    for line in text.split_inclusive('\n') {
        reader.line(line);
    }
    reader.close();
    reader.flush_context();
    reader.said
}

#[derive(Default)]
struct Reader {
    said: Vec<Said>,
    open: Option<Diagnostic>,
    /// Lines that say where the next diagnostic is.
    context: String,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let shown = line.trim_end();
        if let Some(head) = Head::of(shown) {
            self.head(head, line);
        } else if is_context(shown) {
            self.context.push_str(line);
        } else if let Some(open) = self.open.as_mut().filter(|_| is_below(shown)) {
            // What stands below a note that has a context of its own belongs to it too.
            open.text.push_str(&std::mem::take(&mut self.context));
            open.text.push_str(line);
            if open.spot.file.is_none()
                && let Some(place) = shown.trim_start().strip_prefix("--> ")
            {
                open.spot = spot(place);
            }
        } else {
            self.close();
            self.flush_context();
            match self.said.last_mut() {
                Some(Said::Text(text)) => text.push_str(line),
                _ => self.said.push(Said::Text(line.to_owned())),
            }
        }
    }

    fn head(&mut self, head: Head, line: &str) {
        let text = std::mem::take(&mut self.context) + line;
        match (&mut self.open, head.severity) {
            (Some(open), Severity::Note) => {
                open.notes.push(DiagnosticNote { spot: head.spot, message: head.message });
                open.text.push_str(&text);
            }
            (_, severity) => {
                self.close();
                let (message, option) = option_of(head.message);
                let Head { spot, .. } = head;
                self.open = Some(Diagnostic { spot, severity, message, option, notes: Vec::new(), text });
            }
        }
    }

    fn close(&mut self) {
        self.said.extend(self.open.take().map(|open| Said::Diagnostic(Box::new(open))));
    }

    fn flush_context(&mut self) {
        if !self.context.is_empty() {
            self.said.push(Said::Text(std::mem::take(&mut self.context)));
        }
    }
}

/// The line that a diagnostic begins with, behind its context.
struct Head {
    spot: Spot,
    severity: Severity,
    message: String,
}

/// As compilers, the assembler and rustc say it. The longer ones first.
const WORDS: [(&str, Severity); 8] = [
    ("internal compiler error: ", Severity::Error),
    ("fatal error: ", Severity::Error),
    ("Fatal error: ", Severity::Error),
    ("error: ", Severity::Error),
    ("Error: ", Severity::Error),
    ("warning: ", Severity::Warning),
    ("Warning: ", Severity::Warning),
    ("note: ", Severity::Note),
];

/// What a linker says without such a word.
const LINKER: [&str; 5] = [
    "undefined reference to ",
    "multiple definition of ",
    "will not fit in region ",
    "' overflowed by ",
    "is not within region ",
];

impl Head {
    fn of(line: &str) -> Option<Self> {
        if line.starts_with(char::is_whitespace) {
            return None;
        }
        Self::worded(line).or_else(|| Self::of_linker(line))
    }

    fn worded(line: &str) -> Option<Self> {
        // `error[E0425]: ...`, as rustc has it.
        if let Some(rest) = line.strip_prefix("error[")
            && let Some((_, message)) = rest.split_once("]: ")
        {
            return Some(Self {
                spot: Spot::default(),
                severity: Severity::Error,
                message: message.to_owned(),
            });
        }
        let found = WORDS.iter().filter_map(|&(word, severity)| {
            let at = match line.find(word)? {
                0 => 0,
                _ => line.find(&format!(": {word}")).map(|at| at + 2)?,
            };
            Some((at, word, severity))
        });
        let (at, word, severity) = found.min_by_key(|(at, _, _)| *at)?;
        let spot = spot(line[..at].trim_end_matches([' ', ':']));
        // What is before the word without a line is the program that speaks: `collect2`.
        let spot = if spot.line.is_none() { Spot::default() } else { spot };
        Some(Self { spot, severity, message: line[at + word.len()..].to_owned() })
    }

    fn of_linker(line: &str) -> Option<Self> {
        let at = LINKER.iter().filter_map(|word| line.find(word)).min()?;
        // `/usr/bin/ld: main.c:7: undefined reference to ...`
        let program = line.find("ld: ").map_or(0, |ld| ld + "ld: ".len());
        let begin = if program <= at { program } else { 0 };
        let (place, message) = match line[begin..at].rfind(": ") {
            Some(colon) => (&line[begin..begin + colon], &line[begin + colon + 2..]),
            None => ("", &line[begin..]),
        };
        // `main.c:(.text+0x1c)`: no line is known.
        let place = place.split_once(":(").map_or(place, |(file, _)| file);
        Some(Self { spot: spot(place), severity: Severity::Error, message: message.to_owned() })
    }
}

/// `FILE`, `FILE:LINE` or `FILE:LINE:COLUMN`.
fn spot(place: &str) -> Spot {
    let number = |text: &str| text.parse::<u32>().ok();
    let file = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if let Some((rest, last)) = place.rsplit_once(':')
        && let Some(last) = number(last)
    {
        if let Some((name, line)) = rest.rsplit_once(':')
            && let Some(line) = number(line)
        {
            return Spot { file: file(name), line: Some(line), column: Some(last) };
        }
        return Spot { file: file(rest), line: Some(last), column: None };
    }
    Spot { file: file(place), line: None, column: None }
}

/// `unused variable 'x' [-Wunused-variable]`, as the message and the option.
fn option_of(message: String) -> (String, Option<String>) {
    let found = message.strip_suffix(']').and_then(|rest| rest.rsplit_once(" ["));
    match found {
        // `-Werror,-Wunused-variable`: clang says of both.
        Some((before, options)) if options.starts_with('-') => {
            let option = options.rsplit(',').next().unwrap_or(options).to_owned();
            (before.to_owned(), Some(option))
        }
        _ => (message, None),
    }
}

/// Whether a line says where what follows is.
fn is_context(line: &str) -> bool {
    let ends = [":", ","].iter().any(|end| line.ends_with(end));
    let inside = [": In ", ": in function ", ": At ", ": Assembler messages"];
    line.starts_with("In file included from ")
        || line.trim_start().starts_with("from ") && line.starts_with(' ') && ends
        || line.ends_with(':') && inside.iter().any(|word| line.contains(word))
        || [":   required from ", ":   required by ", ":   in ", ":   recursively required "]
            .iter()
            .any(|word| line.contains(word))
}

/// Whether a line belongs to what was said above it: source text, carets, what to write instead.
fn is_below(line: &str) -> bool {
    // `2 |     x`: rustc's source text.
    let numbered = || line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    line.is_empty() || line.starts_with(char::is_whitespace) || numbered()
}

#[cfg(test)]
mod tests;
