//! How a file is written: what stands between cells, at the ends of lines and around texts, and in which bytes.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;

use super::dates::DateStyle;
use super::numbers::NumberStyle;
use crate::domain::Language;

/// The mark with which Windows programs begin a UTF-8 file.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What stands between two cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// `;`, as where the comma stands before decimals.
    Semicolon,
    /// `,`.
    Comma,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// Every one, the likeliest first.
    pub const ALL: [Self; 3] = [Self::Semicolon, Self::Comma, Self::Tab];

    /// The byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Semicolon => b';',
            Self::Comma => b',',
            Self::Tab => b'\t',
        }
    }
}

/// What the bytes of a file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// Windows-1252. Every byte is a character in it, so this is a guess: what is not UTF-8 is taken for it.
    Windows1252,
}

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newline {
    /// `\n`.
    Lf,
    /// `\r\n`.
    CrLf,
    /// `\r`, as old Excel for the Mac wrote it.
    Cr,
}

impl Newline {
    /// The characters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }

    /// The first line end in a text.
    pub(super) fn first(text: &str) -> Option<Self> {
        let place = text.find(['\r', '\n'])?;
        let rest = text.get(place..)?;
        Some(match (rest.starts_with("\r\n"), rest.starts_with('\r')) {
            (true, _) => Self::CrLf,
            (false, true) => Self::Cr,
            (false, false) => Self::Lf,
        })
    }
}

/// Which cells stand in quotes though they need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// None.
    Needed,
    /// Texts; numbers and days do not. So writes LibreOffice where it is told to quote texts.
    Texts,
    /// All that are not empty.
    Filled,
    /// All.
    All,
}

/// How a file is written. What was recognised is what is written back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two cells.
    pub delimiter: Delimiter,
    /// What the bytes mean.
    pub encoding: Encoding,
    /// Whether the file begins with the mark of UTF-8.
    pub bom: bool,
    /// What ends a row.
    pub newline: Newline,
    /// Whether the last row is ended too.
    pub final_newline: bool,
    /// What ends a line inside a cell.
    pub cell_newline: Newline,
    /// Which cells stand in quotes.
    pub quoting: Quoting,
    /// How days are written.
    pub dates: DateStyle,
    /// How numbers are written.
    pub numbers: NumberStyle,
    /// In which language yes and no are said.
    pub words: Language,
    /// In which language the headers are.
    pub headers: Language,
}

impl Dialect {
    /// How a new file is written: as the Excel of that country opens it without questions.
    pub const fn of_a_new_file(language: Language) -> Self {
        Self {
            delimiter: Delimiter::Semicolon,
            encoding: Encoding::Utf8,
            bom: true,
            newline: Newline::CrLf,
            final_newline: true,
            cell_newline: Newline::Lf,
            quoting: Quoting::Needed,
            dates: match language {
                Language::De => DateStyle::German,
                Language::En => DateStyle::Iso,
            },
            numbers: NumberStyle::of(language),
            words: language,
            headers: language,
        }
    }

    /// Whether the file can hold the text in the bytes that it is written in, so that they are read as they were meant:
    /// `ß€` in Windows-1252 is a letter of another script in UTF-8.
    pub fn can_hold(&self, text: &str) -> bool {
        if self.encoding == Encoding::Utf8 || text.is_ascii() {
            return true;
        }
        let (bytes, _, lost) = WINDOWS_1252.encode(text);
        !lost && std::str::from_utf8(&bytes).is_err()
    }

    /// Makes the file one that can hold any text: UTF-8, with the mark by which spreadsheets know it.
    pub(super) const fn widen(&mut self) {
        self.encoding = Encoding::Utf8;
        self.bom = true;
    }

    /// The bytes of a piece of the file.
    pub(super) fn encode<'a>(&self, text: &'a str) -> Cow<'a, [u8]> {
        match self.encoding {
            Encoding::Utf8 => Cow::Borrowed(text.as_bytes()),
            Encoding::Windows1252 => WINDOWS_1252.encode(text).0,
        }
    }

    /// Writes a cell: in quotes where it needs them, or where the file has such cells in quotes. `quoted` says that
    /// the cell stood in quotes before; an only cell of a row is quoted where it is empty, or its line would be blank.
    pub(super) fn cell<'a>(&self, text: &'a str, quoted: bool, only: bool) -> Cow<'a, str> {
        let needed =
            text.bytes().any(|byte| matches!(byte, b'"' | b'\r' | b'\n') || byte == self.delimiter.byte());
        let habit = match self.quoting {
            Quoting::Needed => quoted && !text.is_empty(),
            Quoting::Texts => !text.is_empty() && (quoted || !looks_numeric(text)),
            Quoting::Filled => !text.is_empty(),
            Quoting::All => true,
        };
        if needed || habit || (only && text.is_empty()) {
            Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Whether a spreadsheet takes the text for a number or a day.
pub(super) fn looks_numeric(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b':' | b' ' | b'%'))
}

/// The text of a file, what its bytes were, and whether it had the mark of UTF-8.
///
/// # Errors
///
/// Where it is UTF-16, or says that it is UTF-8 and is not.
pub(super) fn decode(mut bytes: Vec<u8>) -> Result<(String, Encoding, bool), Undecodable> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Undecodable::Utf16);
    }
    let bom = bytes.starts_with(BOM);
    if bom {
        bytes.drain(..BOM.len());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, Encoding::Utf8, bom)),
        Err(error) if bom => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            Err(Undecodable::NotUtf8 { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() })
        }
        Err(error) => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(error.as_bytes());
            Ok((text.into_owned(), Encoding::Windows1252, bom))
        }
    }
}

/// Why the bytes of a file are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// It is in UTF-16.
    #[error("the file is in UTF-16 (\"Unicode text\"); save it as \"CSV UTF-8\"")]
    Utf16,
    /// It begins with the mark of UTF-8, and is none.
    #[error(
        "the file says that it is in UTF-8, and its line {line} is not: a part of it was written by another program; save \
         it as \"CSV UTF-8\""
    )]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
    },
}
