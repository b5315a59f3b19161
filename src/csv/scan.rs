//! Where rows and cells begin and end.
//!
//! Offsets into the text of the whole file, four bytes a cell: nothing is copied, and what nobody edits is written back
//! as it stood. The rules are the `csv` crate's (a test compares the two), except that a quote that is never closed
//! spoils its own line alone and not the rest of the file.

use std::borrow::Cow;

/// A row of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Where its first cell begins.
    pub start: u32,
    /// Which of the cells' ends is its first.
    pub first: u32,
    /// The line on which it begins, from 1.
    pub line: u32,
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The rows, blank lines left out.
    pub records: Vec<Record>,
    /// Where each cell ends; the next one of the same row begins one byte behind.
    pub ends: Vec<u32>,
    /// The row with a quote that is never closed. There is at most one: were there a second, its first quote would
    /// have closed the first.
    pub unclosed: Option<usize>,
    /// The line behind the last row.
    pub line: u32,
}

impl Layout {
    /// Finds the rows in `text` from the byte `from`, which is on this line; no more than `limit` rows.
    pub fn scan(text: &str, from: usize, line: u32, delimiter: u8, limit: usize) -> Self {
        let mut layout = Self { line, ..Self::default() };
        let mut scanner = Scanner { bytes: text.as_bytes(), place: from, delimiter };
        while layout.records.len() < limit {
            while let Some(length) = scanner.line_end() {
                scanner.place += length;
                layout.line += 1;
            }
            if scanner.place >= scanner.bytes.len() {
                break;
            }
            layout.record(&mut scanner);
        }
        layout
    }

    /// Notes the row that begins where the scanner stands.
    fn record(&mut self, scanner: &mut Scanner<'_>) {
        let index = self.records.len();
        self.records.push(Record {
            start: offset(scanner.place),
            first: offset(self.ends.len()),
            line: self.line,
        });
        loop {
            match scanner.cell() {
                Some(lines) => self.line += lines,
                None => {
                    self.unclosed = Some(index);
                    scanner.skip_line();
                }
            }
            self.ends.push(offset(scanner.place));
            if scanner.bytes.get(scanner.place) != Some(&scanner.delimiter) || self.unclosed == Some(index) {
                return;
            }
            scanner.place += 1;
        }
    }

    /// Where the cells of a row end.
    pub fn ends_of(&self, row: usize) -> &[u32] {
        let Some(record) = self.records.get(row) else { return &[] };
        let last = self.records.get(row + 1).map_or(self.ends.len(), |next| next.first as usize);
        self.ends.get(record.first as usize..last).unwrap_or_default()
    }

    /// Where a cell begins and ends.
    pub fn range(&self, row: usize, place: usize) -> Option<(usize, usize)> {
        let ends = self.ends_of(row);
        let end = *ends.get(place)?;
        let start = match place.checked_sub(1) {
            Some(before) => *ends.get(before)? + 1,
            None => self.records.get(row)?.start,
        };
        Some((start as usize, end as usize))
    }
}

/// An offset in four bytes. Files that need more are refused before they are scanned.
pub(super) fn offset(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// A place in the file.
struct Scanner<'a> {
    bytes: &'a [u8],
    place: usize,
    delimiter: u8,
}

impl Scanner<'_> {
    /// How long the line end is that stands here, if one does.
    fn line_end(&self) -> Option<usize> {
        match self.bytes.get(self.place)? {
            b'\r' if self.bytes.get(self.place + 1) == Some(&b'\n') => Some(2),
            b'\r' | b'\n' => Some(1),
            _ => None,
        }
    }

    /// Goes behind the cell that begins here and counts the line ends in it. `None` where a quote is not closed; the
    /// scanner has not moved then.
    fn cell(&mut self) -> Option<u32> {
        let mut lines = 0;
        if self.bytes.get(self.place) == Some(&b'"') {
            let (end, found) = self.quoted()?;
            self.place = end;
            lines = found;
        }
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let delimiter = self.delimiter;
        let ends = |byte: &u8| *byte == delimiter || *byte == b'\n' || *byte == b'\r';
        self.place += rest.iter().position(ends).unwrap_or(rest.len());
        Some(lines)
    }

    /// Where the quotes that open here are closed, one byte behind, and how many line ends are inside.
    fn quoted(&self) -> Option<(usize, u32)> {
        let mut place = self.place + 1;
        let mut lines = 0;
        loop {
            match self.bytes.get(place)? {
                b'"' if self.bytes.get(place + 1) == Some(&b'"') => place += 1,
                b'"' => return Some((place + 1, lines)),
                b'\n' => lines += 1,
                b'\r' if self.bytes.get(place + 1) != Some(&b'\n') => lines += 1,
                _ => {}
            }
            place += 1;
        }
    }

    /// Goes to the end of the line.
    fn skip_line(&mut self) {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        self.place += rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
    }
}

/// The text of a cell as it stands in the file, without its quotes.
pub(super) fn unquoted(raw: &str) -> Cow<'_, str> {
    let Some(inside) = raw.strip_prefix('"') else { return Cow::Borrowed(raw) };
    if let Some(plain) = inside.strip_suffix('"')
        && !plain.contains('"')
    {
        return Cow::Borrowed(plain);
    }
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((before, behind)) = rest.split_once('"') {
        text.push_str(before);
        match behind.strip_prefix('"') {
            Some(next) => {
                text.push('"');
                rest = next;
            }
            // Behind the closing quote the rest is taken as it is.
            None => {
                text.push_str(behind);
                return Cow::Owned(text);
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let layout = Layout::scan(text, 0, 1, b';', usize::MAX);
        let row = |row: usize| {
            let cell =
                |place| layout.range(row, place).map(|(start, end)| unquoted(&text[start..end]).into_owned());
            (0..).map_while(cell).collect()
        };
        (0..layout.records.len()).map(row).collect()
    }

    #[test]
    fn quotes_lines_and_blank_lines() {
        assert_eq!(cells("a;\"b;\"\"c\"\"\n\"\r\n\r\n;\n"), [vec!["a", "b;\"c\"\n"], vec!["", ""]]);
        assert_eq!(cells("\"a\"b\"c;d"), [["ab\"c", "d"]]);
        assert_eq!(cells("a\rb"), [["a"], ["b"]]);
        let lines: Vec<u32> = Layout::scan("a\r\n\r\n\"b\r\nc\"\rd", 0, 1, b';', usize::MAX)
            .records
            .iter()
            .map(|record| record.line)
            .collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn an_unclosed_quote_spoils_one_line() {
        let text = "a;b\n\"c;d\ne;\"f\"\"g\"\"\"\nh;i";
        assert_eq!(
            cells(text),
            [vec!["a", "b"], vec!["c;d\ne;f\"\"g\"\"\""], vec!["h", "i"]],
            "closed by the next one"
        );
        let text = "a;b\nx;\"c;d\ne;f\n";
        assert_eq!(cells(text), [["a", "b"], ["x", "c;d"], ["e", "f"]]);
        assert_eq!(Layout::scan(text, 0, 1, b';', usize::MAX).unclosed, Some(1));
    }

    proptest! {
        #[test]
        fn rows_and_cells_are_the_ones_that_the_csv_crate_finds(text in "[a\";\n\r ]{0,40}") {
            let layout = Layout::scan(&text, 0, 1, b';', usize::MAX);
            if layout.unclosed.is_some() {
                return Ok(());
            }
            let mut reader = csv::ReaderBuilder::new()
                .delimiter(b';')
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            let theirs: Vec<Vec<String>> =
                reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
            prop_assert_eq!(cells(&text), theirs);
        }
    }
}
