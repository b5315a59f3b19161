//! A file in memory.
//!
//! The text of the file is kept as it was read, beside the offsets of its cells; edits lie on top. What nobody edits is
//! written back byte for byte, whatever the habits of the program that wrote it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::canonical::Cells;
use super::cell::{self, CellError};
use super::columns::{self, Columns};
use super::detect;
use super::dialect::{BOM, Dialect, Encoding, decode};
use super::error::{EditError, RowError, TableError};
use super::field::{Field, Row};
use super::scan::{Layout, Record, offset, unquoted};

/// Largest file in bytes: offsets have four bytes. The reserve is for what gets appended.
const SIZE_LIMIT: usize = u32::MAX as usize - (64 << 20);

/// How much is put into the file's own bytes at once.
const CHUNK: usize = 64 << 10;

/// A file in memory.
#[derive(Clone, Debug)]
pub struct Table {
    dialect: Dialect,
    columns: Columns,
    text: String,
    layout: Layout,
    /// Cells as they are to stand in the file, by row of the file and column.
    edits: BTreeMap<(usize, usize), String>,
    /// Whether it is new, or got rows or columns.
    is_grown: bool,
    widened: bool,
}

impl Table {
    /// A new file with headers and no rows.
    pub fn new(dialect: Dialect) -> Self {
        let headers: Vec<String> =
            Field::of_a_new_file().map(|field| columns::header(field, dialect.headers)).collect();
        let mut text = String::new();
        let mut ends = Vec::new();
        for (place, header) in headers.iter().enumerate() {
            if place > 0 {
                text.push(char::from(dialect.delimiter.byte()));
            }
            text.push_str(&dialect.cell(header, false, false));
            ends.push(offset(text.len()));
        }
        text.push_str(dialect.newline.as_str());
        let layout =
            Layout { records: vec![Record { start: 0, first: 0, line: 1 }], ends, unclosed: None, line: 2 };
        let columns = Columns::of_a_new_file(headers);
        Self { dialect, columns, text, layout, edits: BTreeMap::new(), is_grown: true, widened: false }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it is no table, or its headers do not say what its columns are. Rows that are wrong are no error here;
    /// [`Table::values`] names them.
    pub fn read(bytes: Vec<u8>) -> Result<Self, TableError> {
        if bytes.len() > SIZE_LIMIT {
            return Err(TableError::TooLarge);
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(TableError::Workbook);
        }
        let (text, encoding, bom) = decode(bytes)?;
        // A character of Windows-1252 can take three bytes here.
        if text.len() > SIZE_LIMIT {
            return Err(TableError::TooLarge);
        }
        let (delimiter, from, line) = detect::delimiter(&text);
        let layout = Layout::scan(&text, from, line, delimiter.byte(), usize::MAX);
        if layout.records.is_empty() {
            return Err(TableError::Empty);
        }
        if layout.unclosed == Some(0) {
            return Err(TableError::UnclosedHeader);
        }
        let columns = Columns::new(detect::headers(&text, &layout))?;
        let dialect = detect::dialect(&text, &layout, &columns, delimiter, (encoding, bom));
        Ok(Self { dialect, columns, text, layout, edits: BTreeMap::new(), is_grown: false, widened: false })
    }

    /// How the file is written.
    pub const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// What its columns are.
    pub const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// How many rows there are below the headers, blank and wrong ones too. They are counted from 0.
    pub fn len(&self) -> usize {
        self.layout.records.len().saturating_sub(1)
    }

    /// Whether there are headers only.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The line on which a row begins, from 1.
    pub fn line(&self, row: usize) -> u32 {
        self.layout.records.get(row + 1).map_or(self.layout.line, |record| record.line)
    }

    /// Whether anything would be written differently from how it was read.
    pub fn is_changed(&self) -> bool {
        self.is_grown || !self.edits.is_empty() || self.widened
    }

    /// Whether the file was in Windows-1252 and got a text that those bytes cannot say: it becomes UTF-8 with the mark
    /// by which spreadsheets know that. The user should be told.
    pub const fn is_widened(&self) -> bool {
        self.widened
    }

    /// What stands in a cell, without quotes; empty where there is no such cell. Columns are counted from 0.
    pub fn cell(&self, row: usize, place: usize) -> Cow<'_, str> {
        unquoted(self.raw(row + 1, place))
    }

    /// A row as it stands in the file that was read, without its end of line.
    pub fn text_of(&self, row: usize) -> &str {
        let start = self.layout.records.get(row + 1).map_or(0, |record| record.start as usize);
        let end = self.layout.ends_of(row + 1).last().map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Whether all cells of a row are blank.
    pub fn is_blank(&self, row: usize) -> bool {
        (0..self.layout.ends_of(row + 1).len()).all(|place| self.cell(row, place).trim().is_empty())
    }

    /// What a field of a row says, in canonical form; `None` where the file has no such column.
    ///
    /// # Errors
    ///
    /// Where the cell does not say what its column is for.
    pub fn get(&self, row: usize, field: Field) -> Result<Option<String>, CellError> {
        match self.columns.place(field) {
            Some(place) => self.value(row, field, place).map(Some),
            None => Ok(None),
        }
    }

    /// What a row says, in canonical form; `None` where it is blank.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. The other rows are not touched by that.
    pub fn values(&self, row: usize) -> Result<Option<Row>, Vec<RowError>> {
        let line = self.line(row);
        if self.layout.unclosed == Some(row + 1) {
            return Err(vec![RowError::UnclosedQuote { line }]);
        }
        if self.is_blank(row) {
            return Ok(None);
        }
        if self.is_torn(row + 1) {
            let cells = self.layout.ends_of(row + 1).len();
            return Err(vec![RowError::Torn { line, cells, columns: self.columns.len() }]);
        }
        let mut values = Row::new();
        let mut errors = Vec::new();
        for (field, place) in self.columns.fields() {
            match self.value(row, field, place) {
                Ok(value) => values.set(field, value),
                Err(error) => errors.push(RowError::Cell(error)),
            }
        }
        if errors.is_empty()
            && values.text(Field::Iid).is_empty()
            && values.text(Field::Title).trim().is_empty()
        {
            let reason = "is empty: a row without an iid needs a title".to_owned();
            let place = self.columns.place(Field::Title).unwrap_or_default();
            errors.push(RowError::Cell(self.error(row, place, reason)));
        }
        if errors.is_empty() { Ok(Some(values)) } else { Err(errors) }
    }

    /// Whether every cell of a row that is one of a field says, as it stands in the file, what GitLab has.
    pub(super) fn says(&self, row: usize, gitlab: &Cells<'_>) -> bool {
        let (ends, unclosed) = (self.layout.ends_of(row + 1), self.layout.unclosed);
        let Some(record) = self.layout.records.get(row + 1) else { return false };
        if unclosed == Some(row + 1) || (ends.len() != self.columns.len() && self.is_torn(row + 1)) {
            return false;
        }
        let mut start = record.start as usize;
        let mut ends = ends.iter();
        self.columns.by_place().iter().all(|field| {
            // Cells that are missing at the end are blank.
            let raw = ends.next().map_or("", |end| {
                let raw = self.text.get(start..*end as usize).unwrap_or_default();
                start = *end as usize + 1;
                raw
            });
            field.is_none_or(|field| cell::says(field, raw, gitlab.get(field), &self.dialect))
        })
    }

    /// Why no cell of a row can be set, if so.
    pub(super) fn why_not_editable(&self, row: usize) -> Option<EditError> {
        // What stands before an open quote is read the same whatever is behind.
        if self.layout.unclosed.is_some_and(|unclosed| row + 1 >= unclosed) {
            return self.editable().err();
        }
        (row >= self.len() || self.is_torn(row + 1)).then_some(EditError::NoRow)
    }

    /// The headers of a row's cells that say something and are no field.
    pub(super) fn own_cells(&self, row: usize) -> Vec<String> {
        let says_something = |(place, field): &(usize, &Option<Field>)| {
            field.is_none() && !self.cell(row, *place).trim().is_empty()
        };
        let places = self.columns.by_place().iter().enumerate().filter(says_something);
        places.map(|(place, _)| self.columns.header(place).to_owned()).collect()
    }

    /// Whether it is in doubt which cell of a row, counted with the headers, is which. Spreadsheets leave out blank
    /// cells at the end of a row, or write more of them than there are headers; a text there belongs to no column.
    /// Behind a quote that is never closed a row may be anything, and has to be whole. A row that a line's end has broken in
    /// two is as short as those that spreadsheets shorten; what follows it is the rest of it.
    fn is_torn(&self, row: usize) -> bool {
        let (cells, columns) = (self.layout.ends_of(row).len(), self.columns.len());
        let blank = |place| unquoted(self.raw(row, place)).trim().is_empty();
        match self.layout.unclosed {
            Some(unclosed) if row > unclosed => cells != columns,
            _ => !(columns..cells).all(blank) || self.is_continued(row),
        }
    }

    /// Whether the row that follows a row, counted with the headers, is the rest of it: together they have all cells, the
    /// one of the break counted twice, and where an iid should stand is something else.
    fn is_continued(&self, row: usize) -> bool {
        let cells = self.layout.ends_of(row).len();
        if cells >= self.columns.len() || row + 1 >= self.layout.records.len() {
            return false;
        }
        if cells + self.layout.ends_of(row + 1).len() != self.columns.len() + 1 {
            return false;
        }
        let Some(place) = self.columns.place(Field::Iid) else { return false };
        let text = unquoted(self.raw(row + 1, place));
        !text.trim().is_empty() && cell::read(Field::Iid, &text, &self.dialect).is_err()
    }

    /// Sets a field of a row to a canonical value, written in the file's own style. Says whether that changed it.
    ///
    /// # Errors
    ///
    /// Where there is no such cell, or where it is in doubt which cell is which.
    pub fn set(&mut self, row: usize, field: Field, value: &str) -> Result<bool, EditError> {
        let place = self.columns.place(field).ok_or(EditError::NoColumn(field))?;
        if let Some(why) = self.why_not_editable(row) {
            return Err(why);
        }
        if self.value(row, field, place).is_ok_and(|now| now == value) {
            return Ok(false);
        }
        let raw = self.raw(row + 1, place);
        let text = cell::written(field, value, &self.dialect, &unquoted(raw));
        let cell = self.dialect.cell(&text, raw.starts_with('"'), self.columns.len() == 1).into_owned();
        self.widen_for(&cell);
        self.edits.insert((row + 1, place), cell);
        Ok(true)
    }

    /// Puts a row behind the last one and tells its number. Columns that are no field stay empty; fields without a
    /// column are left out.
    ///
    /// # Errors
    ///
    /// Where the end of the file is in doubt, or it gets too large.
    pub fn append(&mut self, values: &Row) -> Result<usize, EditError> {
        self.append_values(|field| values.text(field))
    }

    /// As [`Table::append`], whatever holds the values.
    pub(super) fn append_values<'v>(&mut self, value: impl Fn(Field) -> &'v str) -> Result<usize, EditError> {
        self.editable()?;
        let fields = self.columns.by_place().iter().flatten();
        let size: usize = fields.map(|field| 2 * value(*field).len() + 16).sum();
        if self.text.len() + size + self.columns.len() * 3 > u32::MAX as usize - 4 {
            return Err(EditError::TooLarge);
        }
        if !self.text.ends_with(['\r', '\n']) {
            self.text.push_str(self.dialect.newline.as_str());
            self.layout.line += 1;
        }
        let record = Record {
            start: offset(self.text.len()),
            first: offset(self.layout.ends.len()),
            line: self.layout.line,
        };
        self.layout.records.push(record);
        for (place, field) in self.columns.by_place().iter().enumerate() {
            if place > 0 {
                self.text.push(char::from(self.dialect.delimiter.byte()));
            }
            let from = self.text.len();
            let only = self.columns.len() == 1;
            match *field {
                Some(field) => cell::push(&mut self.text, field, value(field), &self.dialect, only),
                None => self.text.push_str(&self.dialect.cell("", false, only)),
            }
            self.layout.ends.push(offset(self.text.len()));
            let cell = self.text.get(from..).unwrap_or_default();
            if !self.dialect.can_hold(cell) {
                self.dialect.widen();
                self.widened = true;
            }
        }
        self.layout.line += lines_in(self.text.get(record.start as usize..).unwrap_or_default());
        if self.dialect.final_newline {
            self.text.push_str(self.dialect.newline.as_str());
            self.layout.line += 1;
        }
        self.is_grown = true;
        Ok(self.len() - 1)
    }

    /// Puts a column behind the last one; its cells are empty. This is how a file without one gets the iids.
    ///
    /// # Errors
    ///
    /// Where the file has the column, or a quote in it is never closed.
    pub fn add_column(&mut self, field: Field) -> Result<(), EditError> {
        self.editable()?;
        if self.columns.place(field).is_some() {
            return Err(EditError::Column(field));
        }
        let header = columns::header(field, self.dialect.headers);
        let blank = self.dialect.cell("", false, false).into_owned();
        let (delimiter, last) = (char::from(self.dialect.delimiter.byte()), self.columns.len() - 1);
        let mut text = String::with_capacity(self.text.len() + self.layout.records.len() * (1 + blank.len()));
        let mut copied = 0;
        for row in 0..self.layout.records.len() {
            // What stands behind the last column stays behind it: a torn row must not look whole now. A row whose last
            // cells are missing lacks this one too.
            let edited =
                self.edits.range((row, 0)..=(row, last)).next_back().map_or(0, |((_, place), _)| place + 1);
            let cells = self.layout.ends_of(row).len().max(edited);
            for place in 0..cells.min(last + 1) {
                match (self.edits.get(&(row, place)), self.layout.range(row, place)) {
                    (Some(cell), Some((start, end))) => {
                        text.push_str(self.text.get(copied..start).unwrap_or_default());
                        text.push_str(cell);
                        copied = end;
                    }
                    (None, Some((_, end))) => {
                        text.push_str(self.text.get(copied..end).unwrap_or_default());
                        copied = end;
                    }
                    (cell, None) => {
                        text.push(delimiter);
                        text.push_str(cell.map_or("", String::as_str));
                    }
                }
            }
            if cells > last {
                text.push(delimiter);
                text.push_str(if row == 0 { &header } else { &blank });
            }
        }
        text.push_str(self.text.get(copied..).unwrap_or_default());
        if text.len() > u32::MAX as usize - 4 {
            return Err(EditError::TooLarge);
        }
        let first = self.layout.records.first().copied();
        let (from, line) = first.map_or((0, 1), |record| (record.start as usize, record.line));
        self.layout = Layout::scan(&text, from, line, self.dialect.delimiter.byte(), usize::MAX);
        self.text = text;
        self.edits.clear();
        self.is_grown = true;
        self.columns.push(field, header);
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write_to(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if self.dialect.bom {
            writer.write_all(BOM)?;
        }
        let mut copied = 0;
        let mut written = (0, 0);
        for ((row, place), cell) in &self.edits {
            if let Some((start, end)) = self.layout.range(*row, *place) {
                self.write_text(self.text.get(copied..start).unwrap_or_default(), writer)?;
                copied = end;
            } else {
                // The cells that are missing before it are made.
                let ends = self.layout.ends_of(*row);
                let end = ends.last().map_or(copied, |end| *end as usize);
                self.write_text(self.text.get(copied..end).unwrap_or_default(), writer)?;
                copied = end;
                let there = if written.0 == *row { ends.len().max(written.1 + 1) } else { ends.len() };
                let delimiter = char::from(self.dialect.delimiter.byte()).to_string();
                self.write_text(&delimiter.repeat(place + 1 - there), writer)?;
            }
            self.write_text(cell, writer)?;
            written = (*row, *place);
        }
        self.write_text(self.text.get(copied..).unwrap_or_default(), writer)
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.text.len() + BOM.len());
        // Writing into memory does not fail.
        let _ = self.write_to(&mut bytes);
        bytes
    }

    /// Writes a piece in the file's bytes, bit by bit, so that another encoding needs no second copy of the file.
    fn write_text(&self, mut text: &str, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        if self.dialect.encoding == Encoding::Utf8 {
            return writer.write_all(text.as_bytes());
        }
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.floor_char_boundary(CHUNK));
            writer.write_all(&self.dialect.encode(piece))?;
            text = rest;
        }
        Ok(())
    }

    /// A cell as it stands in the file, or will.
    fn raw(&self, row: usize, place: usize) -> &str {
        match self.edits.get(&(row, place)) {
            Some(cell) => cell,
            None => detect::raw(&self.text, &self.layout, row, place),
        }
    }

    fn value(&self, row: usize, field: Field, place: usize) -> Result<String, CellError> {
        let cell = self.cell(row, place);
        match cell::read(field, &cell, &self.dialect) {
            Ok(value) => Ok(value.into_owned()),
            Err(reason) => Err(self.error(row, place, reason)),
        }
    }

    fn error(&self, row: usize, place: usize, reason: String) -> CellError {
        CellError {
            line: self.line(row),
            column: self.columns.header(place).to_owned(),
            value: self.cell(row, place).into_owned(),
            reason,
        }
    }

    /// Whether rows and columns can be put in.
    pub(super) fn editable(&self) -> Result<(), EditError> {
        match self.layout.unclosed.and_then(|row| self.layout.records.get(row)) {
            Some(record) => Err(EditError::UnclosedQuote { line: record.line }),
            None => Ok(()),
        }
    }

    fn widen_for(&mut self, cell: &str) {
        if !self.dialect.can_hold(cell) {
            self.dialect.widen();
            self.widened = true;
        }
    }
}

/// How many line ends are in a text.
fn lines_in(text: &str) -> u32 {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return 0;
    }
    offset(text.matches(['\r', '\n']).count() - text.matches("\r\n").count())
}
