//! Tells from a file how it is written.

use super::columns::{Columns, field_of};
use super::dates::DateStyle;
use super::dialect::{Delimiter, Dialect, Encoding, Newline, Quoting, looks_numeric};
use super::field::{Field, Kind};
use super::formula;
use super::numbers::{NumberStyle, yes_or_no};
use super::scan::{Layout, unquoted};
use crate::domain::Language;

/// How many rows are looked at: enough to see habits, few enough to cost nothing.
const SAMPLE: usize = 1_000;

/// Excel's own line before the headers, which names the delimiter.
fn declared(text: &str) -> Option<Delimiter> {
    let line = text.lines().next()?;
    let sign = line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and(line.get(4..))?;
    Delimiter::ALL.into_iter().find(|delimiter| sign.as_bytes() == [delimiter.byte()])
}

/// What stands between cells, and at which byte and line the headers begin: the delimiter under which most headers
/// are known, then one under which their quotes make sense, whatever the rows hold, then the one that makes most cells.
pub(super) fn delimiter(text: &str) -> (Delimiter, usize, u32) {
    if let Some(delimiter) = declared(text) {
        let place = text.find(['\r', '\n']).unwrap_or(text.len());
        return (delimiter, place, 1);
    }
    let rank = |delimiter: &Delimiter| {
        let layout = Layout::scan(text, 0, 1, delimiter.byte(), 1);
        let headers = headers(text, &layout);
        let known = headers.iter().filter(|header| field_of(header).is_some()).count();
        let well_quoted = (0..headers.len()).all(|place| is_well_quoted(raw(text, &layout, 0, place)));
        (known, well_quoted, headers.len())
    };
    // Of equals the last one is taken, so the likeliest stands last.
    let best = Delimiter::ALL.into_iter().rev().max_by_key(rank);
    (best.unwrap_or(Delimiter::Semicolon), 0, 1)
}

/// Whether a cell that begins with a quote ends with it.
fn is_well_quoted(raw: &str) -> bool {
    let Some(rest) = raw.strip_prefix('"') else { return true };
    rest.strip_suffix('"').is_some_and(|inside| !inside.replace("\"\"", "").contains('"'))
}

/// The headers, without their quotes.
pub(super) fn headers(text: &str, layout: &Layout) -> Vec<String> {
    (0..layout.ends_of(0).len())
        .map(|place| unquoted(raw(text, layout, 0, place)).trim().to_owned())
        .collect()
}

/// A cell as it stands in the file.
pub(super) fn raw<'a>(text: &'a str, layout: &Layout, row: usize, place: usize) -> &'a str {
    layout.range(row, place).and_then(|(start, end)| text.get(start..end)).unwrap_or_default()
}

/// How the file is written, apart from what is asked of its bytes.
pub(super) fn dialect(
    text: &str,
    layout: &Layout,
    columns: &Columns,
    delimiter: Delimiter,
    (encoding, bom): (Encoding, bool),
) -> Dialect {
    let header_end = layout.ends_of(0).last().map_or(0, |end| *end as usize);
    let behind_header = text.get(header_end..).unwrap_or_default();
    let language = columns.language();
    let habits = Habits::of(text, layout, columns);
    Dialect {
        delimiter,
        encoding,
        bom,
        newline: Newline::first(behind_header).unwrap_or(Newline::CrLf),
        // Headers alone say nothing about the end of the last row.
        final_newline: layout.records.len() == 1 || text.ends_with(['\r', '\n']),
        cell_newline: habits.cell_newline(),
        quoting: habits.quoting(),
        dates: most(&habits.dates).unwrap_or(match language {
            Language::De => DateStyle::German,
            Language::En => DateStyle::Iso,
        }),
        numbers: habits.numbers(language),
        words: most(&habits.words).unwrap_or(language),
        headers: language,
    }
}

/// What was seen in the first rows.
#[derive(Default)]
struct Habits {
    dates: Vec<DateStyle>,
    numbers: Vec<NumberStyle>,
    words: Vec<Language>,
    bare_texts: usize,
    bare_numbers: usize,
    bare_blanks: usize,
    quoted: usize,
    lines: [usize; 2],
}

impl Habits {
    fn of(text: &str, layout: &Layout, columns: &Columns) -> Self {
        let mut habits = Self::default();
        for row in 0..layout.records.len().min(SAMPLE) {
            for place in 0..layout.ends_of(row).len() {
                habits.note_quotes(raw(text, layout, row, place));
            }
            if row > 0 && layout.ends_of(row).len() <= columns.len() {
                for (field, place) in columns.fields() {
                    habits.note_value(field, &unquoted(raw(text, layout, row, place)));
                }
            }
        }
        habits
    }

    fn note_quotes(&mut self, raw: &str) {
        if raw.starts_with('"') {
            self.quoted += 1;
            if raw.contains('\n') {
                self.lines[usize::from(raw.contains("\r\n"))] += 1;
            }
        } else if raw.trim().is_empty() {
            self.bare_blanks += 1;
        } else if looks_numeric(raw) {
            self.bare_numbers += 1;
        } else {
            self.bare_texts += 1;
        }
    }

    fn note_value(&mut self, field: Field, cell: &str) {
        let cell = formula::unguard(cell);
        match field.kind() {
            Kind::Date | Kind::Moment => self.dates.extend(DateStyle::parse(cell).map(|(_, style)| style)),
            Kind::Score | Kind::Share | Kind::Rate => self.numbers.extend(NumberStyle::hint(cell)),
            Kind::Rtr => {
                self.dates.extend(DateStyle::parse(cell).map(|(_, style)| style));
                self.words.extend(yes_or_no(cell).map(|(_, language)| language));
            }
            _ => {}
        }
    }

    const fn quoting(&self) -> Quoting {
        match (self.quoted, self.bare_texts, self.bare_numbers, self.bare_blanks) {
            (0, ..) | (_, 1.., ..) => Quoting::Needed,
            (_, _, 1.., _) => Quoting::Texts,
            (_, _, _, 1..) => Quoting::Filled,
            _ => Quoting::All,
        }
    }

    const fn cell_newline(&self) -> Newline {
        if self.lines[1] > self.lines[0] { Newline::CrLf } else { Newline::Lf }
    }

    fn numbers(&self, language: Language) -> NumberStyle {
        let signs: Vec<char> = self.numbers.iter().map(|style| style.decimal).collect();
        let decimal = most(&signs).unwrap_or(NumberStyle::of(language).decimal);
        let thousands = self.numbers.iter().any(|style| style.thousands && style.decimal == decimal);
        NumberStyle { decimal, thousands }
    }
}

/// What was seen most often; of equals what was seen first.
fn most<T: Copy + PartialEq>(seen: &[T]) -> Option<T> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for one in seen {
        match counts.iter_mut().find(|(other, _)| other == one) {
            Some((_, count)) => *count += 1,
            None => counts.push((*one, 1)),
        }
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}
