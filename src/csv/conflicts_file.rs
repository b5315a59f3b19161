//! `FILE.conflicts.csv`: what stood in the file and gave way to GitLab.

use std::io;

use jiff::Timestamp;

use super::detect;
use super::dialect::{BOM, Dialect, decode};
use super::file::{CsvFile, FileError, read};
use super::formula;
use super::merge::Conflict;
use crate::domain::Language;

/// A value that gave way, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost<'a> {
    /// The line of the file, from 1.
    pub line: u32,
    /// The issue.
    pub iid: Option<u64>,
    /// The two values.
    pub conflict: &'a Conflict,
}

impl CsvFile {
    /// Writes values that gave way behind those of earlier runs: time, line, iid, field, the file's value, GitLab's
    /// value. In the dialect of the file, or in that of the file of conflicts where it is there already.
    ///
    /// To be called before [`CsvFile::replace`]: killed between the two, a value is kept twice and never lost.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_conflicts(
        &self,
        lost: &[Lost<'_>],
        dialect: &Dialect,
        now: Timestamp,
    ) -> Result<(), FileError> {
        if lost.is_empty() {
            return Ok(());
        }
        let path = self.conflicts_path();
        let mut dialect = dialect.clone();
        let mut text = String::new();
        if let Some((bytes, _)) = read(&path)?
            && !bytes.is_empty()
        {
            let (there, encoding, bom) = decode(bytes).map_err(|why| FileError::Io {
                path: path.clone(),
                doing: "written",
                error: io::Error::other(format!("{why}; or move it away")),
            })?;
            (dialect.delimiter, ..) = detect::delimiter(&there);
            (dialect.encoding, dialect.bom) = (encoding, bom);
            text = there;
        }
        if text.is_empty() {
            push(&mut text, &dialect, &headers(dialect.headers).map(str::to_owned));
        } else if !text.ends_with(['\r', '\n']) {
            text.push_str(dialect.newline.as_str());
        }
        let time = now.to_string();
        for Lost { line, iid, conflict: Conflict { field, file, gitlab, .. } } in lost {
            let iid = iid.map(|iid| iid.to_string()).unwrap_or_default();
            let cells = [
                time.clone(),
                line.to_string(),
                iid,
                field.as_str().to_owned(),
                file.clone(),
                gitlab.clone(),
            ];
            push(&mut text, &dialect, &cells);
        }
        if !dialect.can_hold(&text) {
            dialect.widen();
        }
        let mut bytes = if dialect.bom { BOM.to_vec() } else { Vec::new() };
        bytes.extend_from_slice(&dialect.encode(&text));
        self.replace_conflicts(&bytes)
    }
}

/// The headers, in the language of the file's own.
const fn headers(language: Language) -> [&'static str; 6] {
    match language {
        Language::De => ["Zeit", "Zeile", "iid", "Feld", "Wert der Datei", "Wert in GitLab"],
        Language::En => ["time", "line", "iid", "field", "file", "gitlab"],
    }
}

/// Writes a row.
fn push(text: &mut String, dialect: &Dialect, cells: &[String; 6]) {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            text.push(char::from(dialect.delimiter.byte()));
        }
        text.push_str(&dialect.cell(&formula::guard(cell), false, false));
    }
    text.push_str(dialect.newline.as_str());
}
